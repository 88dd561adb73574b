/** `ProductData` (seed 002 §2.1.2) → our products. Pure; field names and codes come from the configuration. */
import { z } from 'zod'
import type { Outcome } from '../failure.ts'
import {
  customOf,
  fieldText,
  key,
  meaningOfAnyCase,
  optionalDecimal,
  optionalText,
  quantityIn,
  readable,
  renamed,
  texts,
} from '../kit/rest/fields.ts'
import type { Product, ProductStatus } from '../records.ts'
import { namesOf, type RestErpConfig } from './config.ts'
import type { ReadingTools } from './mapping.ts'

const STATUSES: Readonly<Record<string, ProductStatus>> = {
  active: 'ACTIVE',
  inactive: 'INACTIVE',
  discontinued: 'DISCONTINUED',
}

const categorySchema = z.object({ id: optionalText, name: optionalText, path: texts })
const specificationSchema = z.object({ key: z.string(), value: z.string(), unit: optionalText })
const supplierSchema = z.object({
  id: optionalText,
  name: optionalText,
  leadTime: z
    .string()
    .nullish()
    .transform((days) => (days && /^\d{1,5}(\.0+)?$/.test(days) ? Number(days) : null)),
})

export interface ProductMapping {
  /** @returns `invalid-response` when this one record cannot be read. */
  product(raw: unknown): Outcome<Product>
}

export function productMapping(
  config: RestErpConfig,
  { times, moneyIn, percent }: ReadingTools,
): ProductMapping {
  const names = namesOf(config).fields.product
  const products = z.object({
    id: key,
    sku: key,
    name: z.string(),
    barcode: optionalText,
    description: optionalText,
    category: categorySchema.nullish(),
    specifications: z.array(specificationSchema).nullish(),
    price: optionalDecimal,
    cost: optionalDecimal,
    currency: optionalText,
    taxRate: optionalDecimal,
    unit: optionalText,
    minOrder: optionalDecimal,
    maxOrder: optionalDecimal,
    supplier: supplierSchema.nullish(),
    images: texts,
    videos: texts,
    documents: texts,
    status: optionalText,
    tags: texts,
    ...times,
  })

  return {
    product: (raw) =>
      readable('product', fieldText(raw, names.id), () => {
        const { id, status, price, cost, currency, minOrder, maxOrder, ...one } = products.parse({
          ...(renamed(raw, names) as object),
          // Where an ERP has no number beside the key, people use the key.
          sku: fieldText(raw, names.sku) ?? fieldText(raw, names.id),
        })
        const money = moneyIn(currency)
        const quantity = quantityIn(one.unit, config.unitCodes)
        const amount = money(price)
        const meaning = status === null ? null : meaningOfAnyCase(status, config.productStatuses, STATUSES)
        return {
          key: id,
          ...one,
          active: meaning === null ? null : meaning === 'ACTIVE',
          status: meaning,
          vendorStatus: status,
          category: one.category?.id
            ? { key: one.category.id, name: one.category.name, path: one.category.path }
            : null,
          specifications: one.specifications?.map(({ key, ...rest }) => ({ name: key, ...rest })) ?? null,
          price: amount && { amount, per: '1', taxIncluded: config.pricesIncludeTax },
          cost: money(cost),
          taxRate: percent(one.taxRate),
          minOrder: minOrder === null ? null : quantity(minOrder),
          maxOrder: maxOrder === null ? null : quantity(maxOrder),
          supplier: one.supplier?.id
            ? { key: one.supplier.id, name: one.supplier.name, leadTimeDays: one.supplier.leadTime }
            : null,
          ...customOf(raw, config.customFields.product),
        }
      }),
  }
}
