/** The records of the simulated org: its fields, its rows made from the world, and what it takes as a change. */
import { nowText } from '../../simulation/trade.ts'
import type { CrmCustomer, CrmNote, CrmOpportunity, World, WorldChange } from '../../simulation/world.ts'
import {
  type FieldType,
  fullId,
  type Record_,
  Refusal,
  SIMULATED_PREFIXES,
  type Value,
} from './simulator-soql.ts'

export interface SimulatedField {
  readonly type: FieldType
  readonly length?: number
  /** Absent: it can neither be set nor changed. */
  readonly set?: 'create' | 'always'
  readonly needed?: boolean
  readonly externalId?: boolean
  readonly values?: readonly string[]
  /** Only these; other picklists take any text. */
  readonly restricted?: boolean
}

const text = (length: number, more: Partial<SimulatedField> = {}): SimulatedField => ({
  type: 'string',
  length,
  set: 'always',
  ...more,
})
const STAMPS: Readonly<Record<string, SimulatedField>> = {
  Id: { type: 'id' },
  CreatedDate: { type: 'datetime' },
  LastModifiedDate: { type: 'datetime' },
  SystemModstamp: { type: 'datetime' },
  IsDeleted: { type: 'boolean' },
}
const ADDRESS = ['Street', 'City', 'State', 'PostalCode', 'Country', 'CountryCode']
const addressFields = (kind: string) =>
  Object.fromEntries(ADDRESS.map((part) => [`${kind}${part}`, text(part === 'Street' ? 255 : 80)]))

const STAGE_LABELS: Readonly<Record<string, string>> = {
  PROSPECTING: 'Prospecting',
  QUALIFICATION: 'Qualification',
  PROPOSAL: 'Proposal/Price Quote',
  NEGOTIATION: 'Negotiation/Review',
  WON: 'Closed Won',
  LOST: 'Closed Lost',
}
const PROBABILITIES: Readonly<Record<string, number>> = {
  PROSPECTING: 10,
  QUALIFICATION: 20,
  PROPOSAL: 65,
  NEGOTIATION: 80,
  WON: 100,
  LOST: 0,
}
const LEVEL_LABELS: Readonly<Record<string, string>> = {
  VIP: 'Platinum',
  PREMIUM: 'Gold',
  STANDARD: 'Silver',
  BASIC: 'Bronze',
}
/** Fields of accounts that the world knows, and what it calls them. */
const ACCOUNT_IN_WORLD: Readonly<Record<string, string>> = {
  Name: 'name',
  Industry: 'industry',
  Phone: 'phone',
  Email__c: 'email',
  Tax_Number__c: 'taxNumber',
  Tributary_Ref__c: 'externalRef',
  ...Object.fromEntries(ADDRESS.map((part) => [`Billing${part}`, 'address'])),
}
const nameOf = (labels: Readonly<Record<string, string>>, label: string): string =>
  Object.keys(labels).find((name) => labels[name] === label) ?? label

export const OBJECT_FIELDS: Readonly<Record<string, Readonly<Record<string, SimulatedField>>>> = {
  Account: {
    ...STAMPS,
    Name: text(255, { needed: true }),
    AccountNumber: text(40),
    Industry: { type: 'picklist', set: 'always', values: ['Manufacturing', '机械制造'] },
    Phone: text(40),
    ...addressFields('Billing'),
    ...addressFields('Shipping'),
    CustomerLevel__c: {
      type: 'picklist',
      set: 'always',
      values: Object.values(LEVEL_LABELS),
      restricted: true,
    },
    Tax_Number__c: text(50),
    Email__c: text(80),
    Contract_No__c: text(40),
    Active__c: { type: 'picklist', set: 'always', values: ['Yes', 'No'], restricted: true },
    ParentId: { type: 'reference', set: 'always' },
    Tributary_Ref__c: text(32, { externalId: true }),
    Credit_Check__c: { type: 'boolean', set: 'always' },
  },
  Contact: {
    ...STAMPS,
    AccountId: { type: 'reference', set: 'always' },
    Name: { type: 'string' },
    LastName: text(80, { needed: true }),
    Title: text(128),
    Phone: text(40),
    Email: text(80),
    Primary__c: { type: 'boolean', set: 'always' },
  },
  Opportunity: {
    ...STAMPS,
    Name: text(120, { needed: true }),
    AccountId: { type: 'reference', set: 'always' },
    StageName: {
      type: 'picklist',
      set: 'always',
      needed: true,
      values: Object.values(STAGE_LABELS),
      restricted: true,
    },
    Amount: { type: 'currency', set: 'always' },
    CurrencyIsoCode: {
      type: 'picklist',
      set: 'always',
      values: ['CNY', 'EUR', 'USD', 'JPY', 'GBP'],
      restricted: true,
    },
    Probability: { type: 'double', set: 'always' },
    CloseDate: { type: 'date', set: 'always', needed: true },
    Type: {
      type: 'picklist',
      set: 'always',
      values: ['New Customer', 'Existing Customer'],
      restricted: true,
    },
    IsWon: { type: 'boolean' },
    IsClosed: { type: 'boolean' },
    Tributary_Ref__c: text(32, { externalId: true }),
    Requested_By__c: text(80),
    Region__c: text(40),
    Order_Number__c: text(40),
  },
  OpportunityLineItem: {
    ...STAMPS,
    OpportunityId: { type: 'reference' },
    ProductCode: { type: 'string' },
    Description: text(255),
    Quantity: { type: 'double', set: 'always' },
    UnitPrice: { type: 'currency', set: 'always' },
    SortOrder: { type: 'double' },
  },
  Task: {
    ...STAMPS,
    WhatId: { type: 'reference', set: 'always' },
    Subject: text(255),
    Description: text(32_000),
    Status: {
      type: 'picklist',
      set: 'always',
      needed: true,
      values: ['Not Started', 'Completed'],
      restricted: true,
    },
    Activity_Ref__c: text(32, { externalId: true }),
  },
  Organization: { Id: { type: 'id' }, Name: { type: 'string' }, IsSandbox: { type: 'boolean' } },
}
const RELATED: Readonly<Record<string, FieldType>> = { 'Owner.Name': 'string' }

export interface OrgEvent {
  readonly entityName: string
  readonly recordIds: readonly string[]
  readonly changeType: string
  readonly changedFields: readonly string[]
}

/** Stamps have whole seconds, however finely the world counts. */
const stamp = (time: string): string => `${time.slice(0, 19)}.000Z`

export interface SimulatedContact {
  readonly id: string
  readonly account: string
  readonly value: CrmCustomer['contacts'][number]
  readonly created: string
  readonly modified: string
  readonly deleted: boolean
}

export class SimulatedOrg {
  readonly #world: World
  readonly #singleCurrency: boolean
  readonly #deleted = new Map<string, string>()
  /** What the world has no place for. */
  readonly #extras = new Map<string, Record<string, Value>>()
  readonly #modified = new Map<string, string>()
  readonly #contacts = new Map<string, SimulatedContact>()
  readonly #listeners = new Set<(event: OrgEvent) => void>()
  readonly #stop: () => void
  #lastContact = 0
  /** Changes happen and no event tells of them. */
  muted = false

  constructor(world: World, singleCurrency: boolean) {
    this.#world = world
    this.#singleCurrency = singleCurrency
    for (const customer of world.all('crmCustomers')) this.#followContacts(customer, customer.createdAt)
    this.#stop = world.onChange((change) => this.#follow(change))
  }

  close(): void {
    this.#stop()
  }

  onEvent(listener: (event: OrgEvent) => void): void {
    this.#listeners.add(listener)
  }

  fieldsOf(object: string): Readonly<Record<string, SimulatedField>> | undefined {
    const all = Object.hasOwn(OBJECT_FIELDS, object) ? OBJECT_FIELDS[object] : undefined
    if (!all || !this.#singleCurrency) return all
    const { CurrencyIsoCode: _, ...rest } = all
    return rest
  }

  typeOf(object: string, field: string): FieldType | undefined {
    if (object === 'Opportunity' && Object.hasOwn(RELATED, field)) return RELATED[field]
    const fields = this.fieldsOf(object) ?? {}
    return Object.hasOwn(fields, field) ? fields[field]?.type : undefined
  }

  has(object: string): boolean {
    return this.fieldsOf(object) !== undefined
  }

  rows(object: string): Record_[] {
    switch (object) {
      case 'Account':
        return this.#world.all('crmCustomers').map((one) => this.#account(one))
      case 'Contact':
        return [...this.#contacts.values()].map((one) => this.#contact(one))
      case 'OpportunityLineItem':
        return this.#world.all('crmOpportunities').flatMap((one) => this.#lines(one))
      case 'Task':
        return this.#world.all('crmNotes').map((one) => this.#task(one))
      case 'Opportunity':
        return this.#world.all('crmOpportunities').map((one) => this.#opportunity(one))
      default:
        return [{ Id: fullId('00D5gK000000001'), Name: '示例公司 Sandbox', IsSandbox: true }]
    }
  }

  find(object: string, id: string): Record_ | undefined {
    return this.rows(object).find((row) => row.Id === id && row.IsDeleted !== true)
  }

  /** Into the recycle bin. */
  remove(object: string, id: string): void {
    const now = stamp(nowText())
    const contact = this.#contacts.get(id)
    if (contact) this.#contacts.set(id, { ...contact, deleted: true, modified: now })
    this.#deleted.set(id, now)
    this.#tell({ entityName: object, recordIds: [id], changeType: 'DELETE', changedFields: [] })
  }

  setExtra(id: string, field: string, value: Value): void {
    this.#extras.set(id, { ...this.#extras.get(id), [field]: value })
  }

  /** Whoever calls has checked the fields. */
  update(object: string, id: string, fields: Readonly<Record<string, Value>>): void {
    if (object === 'Contact') {
      this.#putContact(this.#contacts.get(id) as SimulatedContact, fields)
      return
    }
    const now = nowText()
    if (object === 'Account') {
      const customer = this.#world.all('crmCustomers').find((one) => accountId(one.id) === id) as CrmCustomer
      this.#putAccount(customer, fields, now)
      return
    }
    if (object === 'Task') {
      const note = this.#world.all('crmNotes').find((one) => taskId(one.id) === id) as CrmNote
      this.#putTask(note, fields)
      return
    }
    const opportunity = this.#world.all('crmOpportunities').find((one) => opportunityId(one.id) === id)
    this.#putOpportunity(opportunity as CrmOpportunity, fields, now)
  }

  create(object: string, fields: Readonly<Record<string, Value>>): string {
    const now = nowText()
    if (object === 'Account') {
      const id = String(800_000 + this.#world.count('crmCustomers'))
      const address = { street: '', city: '', province: '', postalCode: '', country: '' }
      const blank = { id, name: '', level: '', industry: '', taxNumber: '', phone: '', email: '', address }
      this.#putAccount({ ...blank, contacts: [], createdAt: now, updatedAt: now, revision: 0 }, fields, now)
      return accountId(id)
    }
    if (object === 'Task') {
      const id = String(this.#world.count('crmNotes') + 1)
      const blank = { id, customerId: '', text: '', author: 'api', externalRef: null, createdAt: now }
      this.#putTask(blank, fields)
      return taskId(id)
    }
    const number = String(this.#world.count('crmOpportunities') + 1).padStart(5, '0')
    const blank = {
      id: `OP-${number}`,
      name: '',
      customerId: '',
      stage: 'PROSPECTING',
      amount: '',
      closeDate: '',
    }
    const made = {
      ...blank,
      currency: 'CNY',
      probability: 10,
      owner: 'api',
      externalRef: null,
      createdAt: now,
      updatedAt: now,
    }
    this.#putOpportunity(made, fields, now)
    return opportunityId(made.id)
  }

  addContacts(account: string, contacts: readonly Readonly<Record<string, Value>>[]): void {
    const customer = this.#world
      .all('crmCustomers')
      .find((one) => accountId(one.id) === account) as CrmCustomer
    const blank = { name: '', title: '', phone: '', email: '' }
    const added = contacts.map(
      ({ LastName: name, Title: title, Phone: phone, Email: email, Primary__c }) => ({
        ...blank,
        ...texts({ name, title, phone, email }),
        primary: Primary__c === true,
      }),
    )
    this.#world.put('crmCustomers', { ...customer, contacts: [...customer.contacts, ...added] })
  }

  #putContact(contact: SimulatedContact, fields: Readonly<Record<string, Value>>): void {
    const { LastName: name, Title: title, Phone: phone, Email: email, Primary__c } = fields
    const primary = Primary__c === undefined ? contact.value.primary : Primary__c === true
    const value = { ...contact.value, ...texts({ name, title, phone, email }), primary }
    const customer = this.#world
      .all('crmCustomers')
      .find((one) => accountId(one.id) === contact.account) as CrmCustomer
    const known = [...this.#contacts.values()].filter(
      (one) => one.account === contact.account && !one.deleted,
    )
    const contacts = customer.contacts.with(
      known.findIndex(({ id }) => id === contact.id),
      value,
    )
    this.#world.put('crmCustomers', { ...customer, contacts })
    this.#contacts.set(contact.id, { ...contact, value, modified: stamp(nowText()) })
  }

  #putAccount(from: CrmCustomer, fields: Readonly<Record<string, Value>>, now: string): void {
    const id = accountId(from.id)
    const { CustomerLevel__c: level, ...others } = fields
    for (const [name, value] of Object.entries(others)) {
      if (!Object.hasOwn(ACCOUNT_IN_WORLD, name)) this.setExtra(id, name, value)
    }
    const { BillingStreet: street, BillingCity: city, BillingState: province } = fields
    const { BillingPostalCode: postalCode, BillingCountry, BillingCountryCode } = fields
    const country = BillingCountry === undefined ? BillingCountryCode : BillingCountry
    const own = Object.entries(ACCOUNT_IN_WORLD).map(([theirs, ours]) => [ours, fields[theirs]])
    this.#world.put('crmCustomers', {
      ...from,
      ...texts(Object.fromEntries(own.filter(([name]) => name !== 'address'))),
      address: { ...from.address, ...texts({ street, city, province, postalCode, country }) },
      ...(typeof level === 'string' ? { level: nameOf(LEVEL_LABELS, level) } : {}),
      revision: from.revision + 1,
      updatedAt: now,
    })
    this.#modified.set(id, now)
  }

  #putTask(from: CrmNote, fields: Readonly<Record<string, Value>>): void {
    const { WhatId, Subject, Description, Status, Activity_Ref__c } = fields
    const account = typeof WhatId === 'string' ? fullId(WhatId) : null
    const customer = this.#world.all('crmCustomers').find((one) => accountId(one.id) === account)
    for (const [name, value] of Object.entries({ Subject, Status })) {
      if (value !== undefined) this.setExtra(taskId(from.id), name, value)
    }
    this.#world.put('crmNotes', {
      ...from,
      ...texts({ text: Description, externalRef: Activity_Ref__c }),
      ...(customer ? { customerId: customer.id } : {}),
    })
  }

  #putOpportunity(from: CrmOpportunity, fields: Readonly<Record<string, Value>>, now: string): void {
    const id = opportunityId(from.id)
    const stage = typeof fields.StageName === 'string' ? nameOf(STAGE_LABELS, fields.StageName) : from.stage
    const account = typeof fields.AccountId === 'string' ? fullId(fields.AccountId) : null
    const customer = this.#world.all('crmCustomers').find((one) => accountId(one.id) === account)
    for (const own of ['Requested_By__c', 'Type', 'Region__c']) {
      if (fields[own] !== undefined) this.setExtra(id, own, fields[own])
    }
    this.#world.put('crmOpportunities', {
      ...from,
      ...texts({
        name: fields.Name,
        closeDate: fields.CloseDate,
        currency: fields.CurrencyIsoCode,
        externalRef: fields.Tributary_Ref__c,
        orderNumber: fields.Order_Number__c,
      }),
      ...(fields.Amount === undefined ? {} : { amount: fields.Amount === null ? '' : String(fields.Amount) }),
      ...(customer ? { customerId: customer.id } : {}),
      stage,
      // The vendor sets it with the stage, unless it is given.
      probability:
        typeof fields.Probability === 'number'
          ? fields.Probability
          : stage === from.stage && from.name !== ''
            ? from.probability
            : (PROBABILITIES[stage] ?? 0),
      updatedAt: now,
    })
  }

  #stamps(id: string, created: string, modified: string): Record_ {
    const gone = this.#deleted.get(id)
    const last = gone ?? stamp(modified)
    return {
      Id: id,
      CreatedDate: stamp(created),
      LastModifiedDate: last,
      SystemModstamp: last,
      IsDeleted: gone !== undefined,
    }
  }

  #account(customer: CrmCustomer): Record_ {
    const id = accountId(customer.id)
    const { street, city, province, postalCode, country } = customer.address
    return {
      ...this.#stamps(id, customer.createdAt, this.#modified.get(id) ?? customer.updatedAt),
      Name: customer.name,
      AccountNumber: customer.id,
      Industry: customer.industry || null,
      Phone: customer.phone || null,
      BillingStreet: street || null,
      BillingCity: city || null,
      BillingState: province || null,
      BillingPostalCode: postalCode || null,
      BillingCountry: country || null,
      BillingCountryCode: country || null,
      CustomerLevel__c: LEVEL_LABELS[customer.level] ?? (customer.level || null),
      Active__c: 'Yes',
      ParentId: null,
      Tributary_Ref__c: customer.externalRef ?? null,
      Tax_Number__c: customer.taxNumber || null,
      Email__c: customer.email || null,
      Credit_Check__c: false,
      ...this.#extras.get(id),
    }
  }

  #task(note: CrmNote): Record_ {
    const id = taskId(note.id)
    return {
      ...this.#stamps(id, note.createdAt, note.createdAt),
      WhatId: note.customerId === '' ? null : accountId(note.customerId),
      Subject: null,
      Description: note.text || null,
      Status: 'Completed',
      Activity_Ref__c: note.externalRef,
      ...this.#extras.get(id),
    }
  }

  #contact({ id, account, value, created, modified, deleted }: SimulatedContact): Record_ {
    return {
      Id: id,
      CreatedDate: stamp(created),
      LastModifiedDate: stamp(modified),
      SystemModstamp: stamp(modified),
      IsDeleted: deleted || this.#deleted.has(account),
      AccountId: account,
      Name: value.name,
      LastName: value.name,
      Title: value.title || null,
      Phone: value.phone || null,
      Email: value.email || null,
      Primary__c: value.primary,
    }
  }

  #lines({ id, lines = [], createdAt, updatedAt }: CrmOpportunity): Record_[] {
    return lines.map(({ productCode, quantity, unitPrice }, index) => ({
      ...this.#stamps(numbered('00k', `${id}${index}`), createdAt, updatedAt),
      OpportunityId: opportunityId(id),
      ProductCode: productCode,
      Description: null,
      Quantity: Number(quantity),
      UnitPrice: unitPrice === null ? null : Number(unitPrice),
      SortOrder: index + 1,
    }))
  }

  #opportunity(opportunity: CrmOpportunity): Record_ {
    const id = opportunityId(opportunity.id)
    return {
      ...this.#stamps(id, opportunity.createdAt, opportunity.updatedAt),
      Name: opportunity.name,
      AccountId: accountId(opportunity.customerId),
      StageName: STAGE_LABELS[opportunity.stage] ?? opportunity.stage,
      Amount: opportunity.amount === '' ? null : Number(opportunity.amount),
      CurrencyIsoCode: opportunity.currency || null,
      Probability: opportunity.probability,
      CloseDate: opportunity.closeDate || null,
      IsWon: opportunity.stage === 'WON',
      IsClosed: opportunity.stage === 'WON' || opportunity.stage === 'LOST',
      Tributary_Ref__c: opportunity.externalRef,
      Order_Number__c: opportunity.orderNumber ?? null,
      'Owner.Name': opportunity.owner,
      ...this.#extras.get(id),
    }
  }

  #follow({ collection, entity, before }: WorldChange): void {
    if (collection === 'crmOpportunities') {
      const [after, old] = [entity as CrmOpportunity, before as CrmOpportunity | undefined]
      this.#announce('Opportunity', this.#opportunity(after), old && this.#opportunity(old))
    }
    if (collection !== 'crmCustomers') return
    const [after, old] = [entity as CrmCustomer, before as CrmCustomer | undefined]
    const id = accountId(after.id)
    const own = ({ contacts: _, updatedAt: __, revision: ___, ...rest }: CrmCustomer) => JSON.stringify(rest)
    // Contacts are records of their own: changing them does not touch the account.
    if (old && own(old) === own(after)) this.#modified.set(id, this.#modified.get(id) ?? old.updatedAt)
    else {
      this.#modified.set(id, after.updatedAt)
      this.#announce('Account', this.#account(after), old && this.#account(old))
    }
    this.#followContacts(after, after.updatedAt)
  }

  #announce(entityName: string, after: Record_, before: Record_ | undefined): void {
    this.#tell({
      entityName,
      recordIds: [String(after.Id)],
      changeType: before ? 'UPDATE' : 'CREATE',
      changedFields: before ? Object.keys(after).filter((field) => after[field] !== before[field]) : [],
    })
  }

  #tell(event: OrgEvent): void {
    if (this.muted) return
    for (const listener of this.#listeners) listener(event)
  }

  /** People of the world have no ids: the same place in the list is the same person. */
  #followContacts(customer: CrmCustomer, at: string): void {
    const account = accountId(customer.id)
    const known = [...this.#contacts.values()].filter((one) => one.account === account && !one.deleted)
    customer.contacts.forEach((value, index) => {
      const old = known[index]
      if (!old) {
        this.#lastContact++
        const id = fullId(`0035gK0${String(this.#lastContact).padStart(8, '0')}`) as string
        this.#contacts.set(id, { id, account, value, created: at, modified: at, deleted: false })
      } else if (JSON.stringify(old.value) !== JSON.stringify(value)) {
        this.#contacts.set(old.id, { ...old, value, modified: at })
        this.#tell({
          entityName: 'Contact',
          recordIds: [old.id],
          changeType: 'UPDATE',
          changedFields: ['Title'],
        })
      }
    })
    for (const gone of known.slice(customer.contacts.length)) this.remove('Contact', gone.id)
  }
}

const texts = (fields: Readonly<Record<string, Value | undefined>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value === null ? '' : String(value)]],
    ),
  )

const numbered = (prefix: string, id: string): string =>
  fullId(`${prefix}5gK000${id.replaceAll(/\D/g, '').padStart(6, '0').slice(-6)}`) as string

export const accountId = (id: string): string => numbered(SIMULATED_PREFIXES.Account as string, id)
export const taskId = (id: string): string => numbered(SIMULATED_PREFIXES.Task as string, id)
export const opportunityId = (id: string): string => numbered(SIMULATED_PREFIXES.Opportunity as string, id)

/* ---- what is taken ---- */

/** @throws Refusal */
export function checkFields(
  org: SimulatedOrg,
  object: string,
  given: Readonly<Record<string, unknown>>,
  isNew: boolean,
): asserts given is Readonly<Record<string, Value>> {
  const fields = org.fieldsOf(object) ?? {}
  for (const [name, value] of Object.entries(given)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined
    if (!field) {
      throw new Refusal(400, 'INVALID_FIELD', `No such column '${name}' on sobject of type ${object}`)
    }
    if (field.set === undefined || (field.set === 'create' && !isNew)) {
      const message = `Unable to create/update fields: ${name}. Please check the security settings of this field and verify that it is read/write for your profile or permission set.`
      throw new Refusal(400, 'INVALID_FIELD_FOR_INSERT_UPDATE', message, [name])
    }
    if (value === null) {
      if (field.needed) throw missing([name])
      continue
    }
    checkValue(org, name, field, value)
  }
  if (!isNew) return
  const absent = Object.keys(fields).filter((name) => fields[name]?.needed && given[name] === undefined)
  if (absent.length > 0) throw missing(absent)
}

const missing = (names: readonly string[]) =>
  new Refusal(400, 'REQUIRED_FIELD_MISSING', `Required fields are missing: [${names.join(', ')}]`, names)

function checkValue(org: SimulatedOrg, name: string, field: SimulatedField, value: unknown): void {
  const wrongType = () =>
    new Refusal(
      400,
      'JSON_PARSER_ERROR',
      `Cannot deserialize instance of ${field.type} from ${typeof value} value ${JSON.stringify(value)}`,
    )
  switch (field.type) {
    case 'boolean':
      if (typeof value !== 'boolean') throw wrongType()
      return
    case 'double':
    case 'currency':
      if (typeof value !== 'number') throw wrongType()
      if (Math.abs(value) >= 1e16) {
        throw new Refusal(400, 'NUMBER_OUTSIDE_VALID_RANGE', `${name}: value outside of valid range`, [name])
      }
      return
    case 'date': {
      const isDay = typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)
      const at = isDay ? new Date(`${value}T00:00:00Z`) : new Date(Number.NaN)
      if (Number.isNaN(at.getTime()) || at.toISOString().slice(0, 10) !== value) throw wrongType()
      return
    }
    case 'reference': {
      const id = typeof value === 'string' ? fullId(value) : null
      if (id === null)
        throw new Refusal(400, 'MALFORMED_ID', `${name}: id value of incorrect type: ${value}`, [name])
      if (!org.find('Account', id)) {
        throw new Refusal(400, 'INVALID_CROSS_REFERENCE_KEY', 'invalid cross reference id', [name])
      }
      return
    }
    default:
      if (typeof value !== 'string') throw wrongType()
      if (field.length !== undefined && [...value].length > field.length) {
        const message = `${name}: data value too large: ${value.slice(0, 40)} (max length=${field.length})`
        throw new Refusal(400, 'STRING_TOO_LONG', message, [name])
      }
      if (field.restricted && !field.values?.includes(value)) {
        const message = `${name}: bad value for restricted picklist field: ${value}`
        throw new Refusal(400, 'INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST', message, [name])
      }
  }
}
