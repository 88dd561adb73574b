/** `CustomerData` (seed 002 §2.1.1) ⇄ our customers. Pure; field names and codes come from the configuration. */
import { z } from 'zod'
import type { Outcome, SourceFailure } from '../failure.ts'
import { jsonNumber } from '../kit/json.ts'
import {
  addressesText,
  contactsText,
  customOf,
  fieldText,
  given,
  key,
  meaningOfAnyCase,
  missingCustom,
  optionalDecimal,
  optionalFlag,
  optionalText,
  readable,
  renamed,
  sameMoney,
  setAll,
  setCustom,
  texts,
} from '../kit/rest/fields.ts'
import { unknownCustomField } from '../kit/rest/writing.ts'
import type { CustomerChanges, CustomerCreate } from '../port.ts'
import type { Address, Customer, CustomerStatus } from '../records.ts'
import { namesOf, type RestErpConfig } from './config.ts'
import type { ReadingTools } from './mapping.ts'

const TYPES: Readonly<Record<string, 'COMPANY' | 'INDIVIDUAL'>> = {
  company: 'COMPANY',
  individual: 'INDIVIDUAL',
}
const TYPE_CODES = { COMPANY: 'company', INDIVIDUAL: 'individual' } as const
const STATUSES: Readonly<Record<string, CustomerStatus>> = { active: 'ACTIVE', inactive: 'INACTIVE' }
const ADDRESS_TYPES: Readonly<Record<string, Address['type']>> = {
  billing: 'BILLING',
  shipping: 'SHIPPING',
  office: 'OFFICE',
}

const contactSchema = z.object({
  name: z
    .string()
    .nullish()
    .transform((text) => text ?? ''),
  title: optionalText,
  phone: optionalText,
  email: optionalText,
  isPrimary: optionalFlag,
})

const addressSchema = z.object({
  type: optionalText,
  address: optionalText,
  city: optionalText,
  province: optionalText,
  postalCode: optionalText,
  country: optionalText,
  isDefault: optionalFlag,
})

export interface CustomerMapping {
  /** @returns `invalid-response` when this one record cannot be read. */
  customer(raw: unknown): Outcome<Customer>
  refuseCustomer(changes: CustomerChanges): SourceFailure | undefined
  /** What speaks against the change of a customer who is as it is. */
  refuseCustomerAs(changes: CustomerChanges): ((present: Customer) => SourceFailure | undefined) | undefined
  newCustomerBody(input: CustomerCreate, externalReference: string): Record<string, unknown>
  customerBody(changes: CustomerChanges): Record<string, unknown>
  missingInCustomer(customer: Customer, changes: CustomerChanges): string[]
}

export function customerMapping(config: RestErpConfig, { times, moneyIn }: ReadingTools): CustomerMapping {
  const names = namesOf(config).fields.customer
  const { phone = '', email = '', parent = '' } = names
  const customers = z.object({
    id: key,
    name: z.string(),
    code: optionalText,
    type: optionalText,
    legalName: optionalText,
    registeredAddress: optionalText,
    parent: optionalText,
    taxNumber: optionalText,
    industry: optionalText,
    phone: optionalText,
    email: optionalText,
    contacts: z.array(contactSchema).nullish(),
    addresses: z.array(addressSchema).nullish(),
    currency: optionalText,
    creditLimit: optionalDecimal,
    paymentTerms: optionalText,
    status: optionalText,
    tags: texts,
    revision: optionalText,
    ...times,
  })

  const unable = (what: string): SourceFailure => ({
    kind: 'unsupported',
    message: `Customers of this ERP have no ${what}.`,
  })

  const refuseCustomer: CustomerMapping['refuseCustomer'] = (changes) => {
    if (changes.level !== undefined) return unable('level')
    if (changes.phone !== undefined && phone === '')
      return unable('telephone of their own: change their contacts')
    if (changes.email !== undefined && email === '')
      return unable('e-mail address of their own: change their contacts')
    const { creditLimit, currency } = changes
    if (creditLimit && typeof jsonNumber(creditLimit.amount) === 'string') {
      return {
        kind: 'rejected',
        code: 'DECIMAL',
        message: 'creditLimit is no plain decimal.',
        field: 'creditLimit',
      }
    }
    if (creditLimit && currency !== undefined && creditLimit.currency !== currency)
      return unable(`credit limit in ${creditLimit.currency} beside an account in ${currency}`)
    const registered = changes.addresses?.filter(({ type }) => type === 'REGISTERED') ?? []
    if (registered.length > 1) return unable('second registered address')
    if (
      registered.some(({ city, province, postalCode, country }) => city || province || postalCode || country)
    )
      return unable('registered address in parts: write all of it into the street')
    return unknownCustomField('Customers', config.customFields.customer, changes.customFields)
  }

  /** What new customers and changes share. */
  const fill = (body: Record<string, unknown>, changes: CustomerChanges): void => {
    const { creditLimit, addresses } = changes
    setAll(body, [
      [names.name, changes.name],
      [phone, changes.phone],
      [email, changes.email],
      [names.legalName, changes.legalName],
      [names.industry, changes.industry],
      [names.paymentTerms, changes.paymentTerms],
      [names.currency, changes.currency],
      [names.creditLimit, creditLimit && jsonNumber(creditLimit.amount)],
      [names.tags, changes.tags],
      [names.registeredAddress, addresses?.find(({ type }) => type === 'REGISTERED')?.street],
      [
        names.contacts,
        changes.contacts?.map((contact) => ({
          name: contact.name,
          ...given('title', contact.title),
          ...given('phone', contact.phone),
          ...given('email', contact.email),
          isPrimary: contact.primary ?? false,
        })),
      ],
      [
        names.addresses,
        addresses
          ?.filter(({ type }) => type !== 'REGISTERED')
          .map((one) => ({
            type: one.type.toLowerCase(),
            // The seed has none of them optional.
            address: one.street ?? '',
            city: one.city ?? '',
            province: one.province ?? '',
            postalCode: one.postalCode ?? '',
            country: one.country ?? '',
            isDefault: one.default ?? false,
          })),
      ],
    ])
    setCustom(body, config.customFields.customer, changes.customFields)
  }

  return {
    customer: (raw) =>
      readable('customer', fieldText(raw, names.id), () => {
        const one = customers.parse(renamed(raw, { ...names, phone, email, parent }))
        const { currency, creditLimit, paymentTerms, status, registeredAddress } = one
        return {
          key: one.id,
          version: one.revision,
          name: one.name,
          code: one.code,
          legalName: one.legalName,
          type: (one.type !== null && TYPES[one.type.toLowerCase()]) || null,
          status: status === null ? null : meaningOfAnyCase(status, config.customerStatuses, STATUSES),
          vendorStatus: status,
          parent: one.parent,
          tags: one.tags,
          industry: one.industry,
          taxNumber: one.taxNumber,
          phone: one.phone,
          email: one.email,
          contacts: (one.contacts ?? []).map(({ isPrimary, ...contact }) => ({
            ...contact,
            primary: isPrimary ?? null,
          })),
          addresses: [
            ...(one.addresses ?? []).map(({ type, address, isDefault, ...place }) => ({
              type: (type !== null && ADDRESS_TYPES[type.toLowerCase()]) || ('OFFICE' as const),
              street: address,
              ...place,
              default: isDefault ?? null,
            })),
            ...(registeredAddress === null
              ? []
              : [{ type: 'REGISTERED' as const, street: registeredAddress }]),
          ],
          account: {
            company: null,
            currency: currency ?? config.currency ?? null,
            creditLimit: moneyIn(currency)(creditLimit),
            paymentTerms,
          },
          createdAt: one.createdAt,
          updatedAt: one.updatedAt,
          ...customOf(raw, config.customFields.customer),
        }
      }),

    refuseCustomer,

    refuseCustomerAs({ creditLimit, currency }) {
      if (!creditLimit || currency !== undefined) return undefined
      return ({ account }) => {
        if (account?.currency === creditLimit.currency) return undefined
        const message = `This account is kept in ${account?.currency ?? 'no currency that is known'}, not in ${creditLimit.currency}.`
        return { kind: 'rejected', code: 'CURRENCY', message, field: 'creditLimit' }
      }
    },

    newCustomerBody(input, externalReference) {
      const body: Record<string, unknown> = {}
      setAll(body, Object.entries(config.customerDefaults))
      setAll(body, [
        [names.code, input.code],
        [names.type, input.type && TYPE_CODES[input.type]],
        [names.taxNumber, input.taxNumber],
        [names.externalRef, externalReference],
        // The seed has them in every customer.
        [names.contacts, []],
        [names.addresses, []],
      ])
      fill(body, { ...input, currency: input.currency ?? input.creditLimit?.currency })
      return body
    },

    customerBody(changes) {
      const body: Record<string, unknown> = {}
      fill(body, changes)
      return body
    },

    missingInCustomer(customer, { customFields, addresses, creditLimit, ...changes }) {
      const { account } = customer
      const shown = {
        ...customer,
        currency: account?.currency,
        paymentTerms: account?.paymentTerms,
        contacts: contactsText(customer.contacts),
        tags: JSON.stringify(customer.tags),
      }
      const wanted = {
        ...changes,
        contacts: changes.contacts && contactsText(changes.contacts),
        tags: changes.tags && JSON.stringify(changes.tags),
      }
      const fields = [
        ...[
          'name',
          'legalName',
          'industry',
          'phone',
          'email',
          'contacts',
          'tags',
          'currency',
          'paymentTerms',
        ],
      ] as (keyof typeof wanted & keyof typeof shown)[]
      const missing: string[] = fields.filter(
        (field) => wanted[field] !== undefined && (wanted[field] || null) !== (shown[field] || null),
      )
      if (addresses) {
        const told = addresses.some(({ type }) => type === 'REGISTERED')
        const comparable = (all: readonly Address[] = []) =>
          addressesText(all.filter(({ type }) => told || type !== 'REGISTERED'))
        if (comparable(addresses) !== comparable(customer.addresses)) missing.push('addresses')
      }
      if (creditLimit && !sameMoney(creditLimit, account?.creditLimit)) missing.push('creditLimit')
      return [...missing, ...missingCustom(customer.customFields, customFields)]
    },
  }
}
