/** The demo world in the vendor's words: entity types, and the rows of each entity set. */
import Big from 'big.js'
import { digitsOf } from '../../simulation/trade.ts'
import type {
  ErpAccount,
  ErpDelivery,
  ErpItem,
  ErpOrder,
  FinanceInvoice,
  World,
} from '../../simulation/world.ts'
import type { Edm, Fields, Row, Types } from './simulator-query.ts'

export const ORGANIZATION = '1010'
export const CHANNEL = '10'
export const DIVISION = '00'
export const PLANT = '1010'
/** The demo server stands in Shanghai; only stamps of two fields show it. */
const OFFSET_MS = 8 * 3_600_000

const all = (edm: Edm, names: string): Fields =>
  Object.fromEntries(names.split(/\s+/).map((name) => [name, edm]))

export const KEYS: Readonly<Record<string, readonly string[]>> = {
  A_BusinessPartner: ['BusinessPartner'],
  A_Product: ['Product'],
  A_MatlStkInAcctMod: [
    'Material',
    'Plant',
    'StorageLocation',
    'Batch',
    'Supplier',
    'Customer',
    'WBSElementInternalID',
    'SDDocument',
    'SDDocumentItem',
    'InventorySpecialStockType',
    'InventoryStockType',
  ],
  A_SalesOrder: ['SalesOrder'],
  A_SalesOrderItem: ['SalesOrder', 'SalesOrderItem'],
  A_SalesOrderText: ['SalesOrder', 'Language', 'LongTextID'],
  A_OutbDeliveryHeader: ['DeliveryDocument'],
  A_OutbDeliveryItem: ['DeliveryDocument', 'DeliveryDocumentItem'],
  A_BillingDocument: ['BillingDocument'],
  A_BillingDocumentItem: ['BillingDocument', 'BillingDocumentItem'],
}

/** @param own Custom fields, by entity type. */
export function typesOf(own: Readonly<Record<string, readonly string[]>>): Types {
  const types: Types = {
    A_BusinessPartner: {
      ...all('alpha', 'BusinessPartner Customer Supplier'),
      ...all(
        'string',
        'BusinessPartnerCategory BusinessPartnerFullName OrganizationBPName1 OrganizationBPName2 FirstName LastName SearchTerm1 BusinessPartnerGrouping Industry ETag',
      ),
      BusinessPartnerIsBlocked: 'boolean',
      ...all('date', 'CreationDate LastChangeDate'),
      ...all('time', 'CreationTime LastChangeTime'),
      to_BusinessPartnerTax: { many: 'A_BusinessPartnerTaxNumber' },
      to_BusinessPartnerAddress: { many: 'A_BusinessPartnerAddress' },
      to_Customer: { one: 'A_Customer' },
    },
    A_BusinessPartnerTaxNumber: {
      BusinessPartner: 'alpha',
      ...all('string', 'BPTaxType BPTaxNumber BPTaxLongNumber'),
    },
    A_BusinessPartnerAddress: {
      ...all('alpha', 'BusinessPartner AddressID'),
      ...all('string', 'StreetName HouseNumber CityName PostalCode Region Country'),
      to_EmailAddress: { many: 'A_AddressEmailAddress' },
      to_PhoneNumber: { many: 'A_AddressPhoneNumber' },
    },
    A_AddressEmailAddress: {
      ...all('string', 'AddressID Person OrdinalNumber EmailAddress'),
      IsDefaultEmailAddress: 'boolean',
    },
    A_AddressPhoneNumber: {
      ...all('string', 'AddressID Person OrdinalNumber PhoneNumber InternationalPhoneNumber'),
      IsDefaultPhoneNumber: 'boolean',
    },
    A_Customer: {
      Customer: 'alpha',
      ...all(
        'string',
        'CustomerName OrderIsBlockedForCustomer DeliveryIsBlocked BillingIsBlockedForCustomer',
      ),
      to_CustomerSalesArea: { many: 'A_CustomerSalesArea' },
    },
    A_CustomerSalesArea: {
      Customer: 'alpha',
      ...all(
        'string',
        'SalesOrganization DistributionChannel Division Currency CustomerPaymentTerms CustomerABCClassification OrderIsBlockedForCustomer',
      ),
    },
    A_Product: {
      Product: 'alpha',
      ...all('string', 'ProductType BaseUnit ProductGroup ProductStandardID'),
      IsMarkedForDeletion: 'boolean',
      ...all('date', 'CreationDate LastChangeDate'),
      LastChangeDateTime: 'instant',
      to_Description: { many: 'A_ProductDescription' },
      to_Valuation: { many: 'A_ProductValuation' },
      to_ProductUnitsOfMeasure: { many: 'A_ProductUnitsOfMeasure' },
    },
    A_ProductValuation: {
      Product: 'alpha',
      ...all('string', 'ValuationArea ValuationType InventoryValuationProcedure Currency'),
      ...all('decimal', 'StandardPrice MovingAveragePrice PriceUnitQty'),
    },
    A_ProductUnitsOfMeasure: {
      Product: 'alpha',
      AlternativeUnit: 'string',
      ...all('decimal', 'QuantityNumerator QuantityDenominator'),
    },
    A_ProductDescription: { Product: 'alpha', ...all('string', 'Language ProductDescription') },
    A_MatlStkInAcctMod: {
      Material: 'alpha',
      ...all(
        'string',
        'Plant StorageLocation Batch Supplier Customer WBSElementInternalID SDDocument SDDocumentItem InventorySpecialStockType InventoryStockType MaterialBaseUnit',
      ),
      MatlWrhsStkQtyInMatlBaseUnit: 'decimal',
    },
    A_SalesOrder: {
      ...all('alpha', 'SalesOrder SoldToParty ReferenceSDDocument'),
      ...all(
        'string',
        'SalesOrderType SalesOrganization DistributionChannel OrganizationDivision PurchaseOrderByCustomer TransactionCurrency OverallSDProcessStatus OverallDeliveryStatus OverallTotalDeliveryStatus OverallOrdReltdBillgStatus OverallSDDocumentRejectionSts TotalCreditCheckStatus TotalBlockStatus DeliveryBlockReason HeaderBillingBlockReason SalesDocApprovalStatus CustomerPaymentTerms PaymentMethod CreatedByUser ReferenceSDDocumentCategory',
      ),
      ...all(
        'date',
        'CustomerPurchaseOrderDate SalesOrderDate RequestedDeliveryDate CreationDate LastChangeDate',
      ),
      LastChangeDateTime: 'instant',
      TotalNetAmount: 'decimal',
      to_Item: { many: 'A_SalesOrderItem' },
      to_Text: { many: 'A_SalesOrderText' },
      to_Partner: { many: 'A_SalesOrderHeaderPartner' },
    },
    A_SalesOrderHeaderPartner: {
      ...all('alpha', 'SalesOrder Customer'),
      ...all('string', 'PartnerFunction AddressID'),
      to_Address: { many: 'A_SalesOrderPartnerAddress' },
    },
    A_SalesOrderPartnerAddress: {
      SalesOrder: 'alpha',
      ...all(
        'string',
        'PartnerFunction AddressRepresentationCode AddresseeFullName OrganizationName1 StreetName HouseNumber CityName Region PostalCode Country PhoneNumber EmailAddress',
      ),
    },
    A_SalesOrderItem: {
      ...all('alpha', 'SalesOrder SalesOrderItem Material'),
      ...all(
        'string',
        'SalesOrderItemText RequestedQuantityUnit TransactionCurrency ProductionPlant StorageLocation SalesDocumentRjcnReason SDProcessStatus DeliveryStatus OrderRelatedBillingStatus',
      ),
      ...all('decimal', 'RequestedQuantity NetAmount TaxAmount ConfdDelivQtyInOrderQtyUnit'),
      to_ScheduleLine: { many: 'A_SalesOrderScheduleLine' },
      to_PricingElement: { many: 'A_SalesOrderItemPrElement' },
      to_Text: { many: 'A_SalesOrderItemText' },
    },
    A_SalesOrderItemText: {
      ...all('alpha', 'SalesOrder SalesOrderItem'),
      ...all('string', 'Language LongTextID LongText'),
    },
    A_SalesOrderScheduleLine: {
      ...all('alpha', 'SalesOrder SalesOrderItem ScheduleLine'),
      ...all('date', 'RequestedDeliveryDate ConfirmedDeliveryDate'),
      ...all('decimal', 'ScheduleLineOrderQuantity ConfdOrderQtyByMatlAvailCheck DeliveredQtyInOrderQtyUnit'),
    },
    A_SalesOrderItemPrElement: {
      ...all('alpha', 'SalesOrder SalesOrderItem'),
      ...all('string', 'ConditionType ConditionCurrency ConditionQuantityUnit ConditionInactiveReason'),
      ...all('decimal', 'ConditionRateValue ConditionQuantity ConditionAmount'),
    },
    A_SalesOrderText: { SalesOrder: 'alpha', ...all('string', 'Language LongTextID LongText') },
    A_OutbDeliveryHeader: {
      ...all('alpha', 'DeliveryDocument SoldToParty ShipToParty'),
      ...all(
        'string',
        'DeliveryDocumentType SDDocumentCategory OverallSDProcessStatus OverallGoodsMovementStatus OverallPickingStatus',
      ),
      ...all(
        'date',
        'DocumentDate ActualGoodsMovementDate PlannedGoodsIssueDate CreationDate LastChangeDate',
      ),
      CreationTime: 'time',
      to_DeliveryDocumentItem: { many: 'A_OutbDeliveryItem' },
    },
    A_OutbDeliveryItem: {
      ...all('alpha', 'DeliveryDocument DeliveryDocumentItem Material ReferenceSDDocument'),
      ...all(
        'string',
        'DeliveryDocumentItemText DeliveryQuantityUnit Plant StorageLocation ReferenceSDDocumentItem ReferenceSDDocumentCategory',
      ),
      ActualDeliveryQuantity: 'decimal',
    },
    A_BillingDocument: {
      ...all('alpha', 'BillingDocument SoldToParty PayerParty CancelledBillingDocument'),
      ...all(
        'string',
        'SDDocumentCategory BillingDocumentType TransactionCurrency InvoiceClearingStatus AccountingPostingStatus',
      ),
      ...all('decimal', 'TotalNetAmount TaxAmount TotalGrossAmount'),
      ...all('date', 'BillingDocumentDate CreationDate'),
      BillingDocumentIsCancelled: 'boolean',
      LastChangeDateTime: 'instant',
      to_Item: { many: 'A_BillingDocumentItem' },
    },
    A_BillingDocumentItem: {
      ...all('alpha', 'BillingDocument BillingDocumentItem Material SalesDocument'),
      ...all('string', 'BillingDocumentItemText BillingQuantityUnit TransactionCurrency'),
      ...all('decimal', 'BillingQuantity NetAmount TaxAmount'),
    },
  }
  return Object.fromEntries(
    Object.entries(types).map(([name, fields]) => [
      name,
      { ...fields, ...Object.fromEntries((own[name] ?? []).map((field) => [field, 'string' as const])) },
    ]),
  )
}

/** The vendor's codes for the words that the demo uses for units. */
const UNITS: Readonly<Record<string, string>> = { 个: 'PC', 台: 'EA', 根: 'PC', 米: 'M', 箱: 'CAR' }
const unitOf = (unit: string | undefined): string => UNITS[unit ?? ''] ?? 'PC'
const METHODS: Readonly<Record<string, string>> = { TRANSFER: 'T' }
const LEVELS = ['A', 'B', 'C', ''] as const

export const orderNumber = (order: { readonly docNum: number }): string => String(order.docNum)
export const deliveryNumber = (delivery: ErpDelivery): string => String(80_000_000 + delivery.docEntry)
export const billingNumber = (invoice: FinanceInvoice): string =>
  String(90_000_000 + Number(invoice.invoiceNo.slice(4)))

const local = (time: string) => {
  const text = new Date(Date.parse(time) + OFFSET_MS).toISOString()
  return { day: text.slice(0, 10), clock: text.slice(11, 19) }
}

export function createRows(world: World, rejections: ReadonlyMap<number, ReadonlyMap<string, string>>) {
  /** Stored entities are never mutated, and a rejection stores a new one: what was made of one stays right. */
  const made = new WeakMap<object, Row>()
  const once =
    <T extends object>(make: (entity: T) => Row) =>
    (entity: T): Row => {
      const row = made.get(entity) ?? make(entity)
      made.set(entity, row)
      return row
    }

  const partner = (account: ErpAccount): Row => {
    const created = local(account.createdAt)
    const changed = account.updatedAt === account.createdAt ? null : local(account.updatedAt)
    return {
      BusinessPartner: account.cardCode,
      Customer: account.cardCode,
      BusinessPartnerCategory: '2',
      BusinessPartnerFullName: account.name,
      OrganizationBPName1: account.name.slice(0, 40),
      BusinessPartnerGrouping: 'BP02',
      BusinessPartnerIsBlocked: false,
      CreationDate: created.day,
      CreationTime: created.clock,
      LastChangeDate: changed?.day ?? null,
      LastChangeTime: changed?.clock ?? '00:00:00',
      ETag: `${account.cardCode}${account.updatedAt.replaceAll(/\D/g, '').slice(0, 14)}`,
      to_BusinessPartnerTax:
        account.taxNumber === null
          ? []
          : [
              {
                BusinessPartner: account.cardCode,
                BPTaxType: `${account.country}${account.country === 'CN' ? '5' : '0'}`,
                BPTaxNumber: account.taxNumber,
              },
            ],
      to_BusinessPartnerAddress: account.street
        ? [
            {
              BusinessPartner: account.cardCode,
              AddressID: '1001',
              StreetName: account.street,
              CityName: account.city,
              PostalCode: account.zip,
              Country: account.country,
              to_EmailAddress: account.email
                ? [
                    { AddressID: '1001', EmailAddress: `old.${account.email}`, IsDefaultEmailAddress: false },
                    { AddressID: '1001', EmailAddress: account.email, IsDefaultEmailAddress: true },
                  ]
                : [],
              to_PhoneNumber: account.phone
                ? [
                    {
                      AddressID: '1001',
                      PhoneNumber: account.phone.replace(/^\+\d+ /, ''),
                      InternationalPhoneNumber: account.phone,
                      IsDefaultPhoneNumber: true,
                    },
                  ]
                : [],
            },
          ]
        : [],
      to_Customer: {
        Customer: account.cardCode,
        CustomerName: account.name,
        OrderIsBlockedForCustomer: account.frozen ? '01' : '',
        to_CustomerSalesArea: [
          {
            Customer: account.cardCode,
            SalesOrganization: '9999', // an area that nobody here asks for
            DistributionChannel: CHANNEL,
            Division: DIVISION,
            Currency: 'XXX',
          },
          {
            Customer: account.cardCode,
            SalesOrganization: ORGANIZATION,
            DistributionChannel: CHANNEL,
            Division: DIVISION,
            Currency: account.currency,
            CustomerPaymentTerms: `Z${String(account.paymentTerms.code + 10).padStart(3, '0')}`,
            CustomerABCClassification: LEVELS[Number(account.cardCode.slice(1, 6)) % 4] ?? '',
          },
        ],
      },
    }
  }

  const product = (item: ErpItem): Row => ({
    Product: item.code,
    ProductType: 'HAWA',
    BaseUnit: unitOf(item.unit),
    ProductGroup: String(item.group),
    ProductStandardID: item.barcode,
    IsMarkedForDeletion: !item.active,
    CreationDate: item.createdAt,
    LastChangeDate: item.updatedAt,
    LastChangeDateTime: item.updatedAt,
    to_Description: [
      { Product: item.code, Language: 'EN', ProductDescription: item.foreignName.slice(0, 40) },
      { Product: item.code, Language: 'ZH', ProductDescription: item.name.slice(0, 40) },
    ],
    // Kept in hundreds, so that small costs have digits enough; another plant has its own.
    to_Valuation: item.cost
      ? ['9999', PLANT].map((ValuationArea) => ({
          Product: item.code,
          ValuationArea,
          ValuationType: '',
          InventoryValuationProcedure: 'S',
          StandardPrice: ValuationArea === PLANT ? new Big(item.cost ?? '0').times(100).toFixed(2) : '1.00',
          MovingAveragePrice: '0.00',
          PriceUnitQty: '100',
          Currency: world.companyCurrency,
        }))
      : [],
    to_ProductUnitsOfMeasure: [
      { name: unitOf(item.unit), each: '1' },
      ...(item.salesUnit ? [{ ...item.salesUnit, name: unitOf(item.salesUnit.name) }] : []),
    ].map(({ name, each }) => ({
      Product: item.code,
      AlternativeUnit: name,
      QuantityNumerator: each,
      QuantityDenominator: '1',
    })),
  })

  /** Unrestricted stock in two batches, and stock of other types, which is not the same. */
  const stock = (): Row[] =>
    world.all('erpStock').flatMap((place) => {
      const row = (Batch: string, quantity: Big, more: Row = {}): Row => ({
        Material: place.item,
        Plant: PLANT,
        StorageLocation: place.warehouse,
        Batch,
        Supplier: '',
        Customer: '',
        WBSElementInternalID: '0',
        SDDocument: '',
        SDDocumentItem: '0',
        InventorySpecialStockType: '',
        InventoryStockType: '01',
        MaterialBaseUnit: unitOf(world.get('erpItems', place.item)?.unit),
        MatlWrhsStkQtyInMatlBaseUnit: quantity.toFixed(3),
        ...more,
      })
      const half = new Big(place.inStock).div(2).round(0, Big.roundDown)
      return [
        row('L1', half),
        row('L2', new Big(place.inStock).minus(half)),
        row('L2', new Big(5), { InventoryStockType: '07' }),
        row('L2', new Big(3), {
          InventorySpecialStockType: 'E',
          SDDocument: '1003',
          SDDocumentItem: '10',
        }),
      ]
    })

  const letter = (open: Big, ordered: Big) => (open.lte(0) ? 'C' : open.lt(ordered) ? 'B' : 'A')

  const invoiced = ({ docNum }: ErpOrder): string =>
    world.find('financeInvoices', 'orderNo', String(docNum)) ? 'C' : 'A'

  /** Given with the order in the vendor's four letters, or the account's. */
  const termsOf = ({ payment, cardCode }: ErpOrder): string => {
    const account = world.get('erpAccounts', cardCode)
    const own = payment?.terms
    if (own !== undefined && own.length <= 4) return own
    return account ? `Z${String(account.paymentTerms.code + 10).padStart(3, '0')}` : ''
  }

  const partnersOf = ({ docNum, cardCode, shipTo }: ErpOrder): Row[] =>
    ['SP', 'SH', 'BP', 'PY'].map((PartnerFunction) => ({
      SalesOrder: String(docNum),
      PartnerFunction,
      Customer: cardCode,
      AddressID: '1001',
      to_Address:
        PartnerFunction !== 'SH' || shipTo === undefined
          ? []
          : [
              {
                SalesOrder: String(docNum),
                PartnerFunction,
                AddressRepresentationCode: '',
                OrganizationName1: shipTo.name,
                StreetName: shipTo.street,
                CityName: shipTo.city,
                Region: /^[A-Z0-9]{1,3}$/.test(shipTo.province) ? shipTo.province : '020',
                PostalCode: shipTo.zip,
                Country: shipTo.country,
                PhoneNumber: shipTo.phone,
              },
            ],
    }))

  const order = (entity: ErpOrder): Row => {
    const number = orderNumber(entity)
    const rejected = rejections.get(entity.docEntry)
    const sum = (of: 'quantity' | 'open') =>
      entity.lines.reduce((total, line) => total.plus(line[of]), new Big(0))
    const delivery = entity.cancelled ? '' : letter(sum('open'), sum('quantity'))
    const reasonOf = (item: string) =>
      entity.cancelled ? (rejected?.get(item) ?? '00') : rejected?.get(item)
    return {
      SalesOrder: number,
      SalesOrderType: 'OR',
      SalesOrganization: ORGANIZATION,
      DistributionChannel: CHANNEL,
      OrganizationDivision: DIVISION,
      SoldToParty: entity.cardCode,
      PurchaseOrderByCustomer: entity.numAtCard,
      SalesOrderDate: entity.docDate,
      RequestedDeliveryDate: entity.dueDate,
      CreationDate: entity.createdAt,
      LastChangeDate: entity.updatedAt,
      LastChangeDateTime: entity.updatedAt,
      TotalNetAmount: new Big(entity.gross).minus(entity.tax).toFixed(digitsOf(entity.currency)),
      TransactionCurrency: entity.currency,
      OverallSDProcessStatus: entity.closed || entity.cancelled ? 'C' : delivery,
      OverallDeliveryStatus: delivery,
      OverallTotalDeliveryStatus: delivery,
      OverallSDDocumentRejectionSts: entity.cancelled ? 'C' : rejected?.size ? 'B' : 'A',
      SalesDocApprovalStatus: entity.confirmed ? '' : 'A',
      CustomerPaymentTerms: termsOf(entity),
      PaymentMethod: METHODS[entity.payment?.method ?? ''] ?? entity.payment?.method ?? '',
      CreatedByUser: 'CC0000000001',
      to_Partner: partnersOf(entity),
      ...entity.userFields,
      to_Item: entity.lines.map((line): Row => {
        const item = String((line.lineNum + 1) * 10)
        const open = new Big(line.open)
        const of = { SalesOrder: number, SalesOrderItem: item }
        const status = letter(open, new Big(line.quantity))
        return {
          ...of,
          Material: line.item,
          SalesOrderItemText: line.description.slice(0, 40),
          RequestedQuantity: line.quantity,
          RequestedQuantityUnit: unitOf(world.get('erpItems', line.item)?.unit),
          NetAmount: line.total,
          TaxAmount: new Big(line.total).times(line.taxPercent).div(100).toFixed(digitsOf(line.currency)),
          ConfdDelivQtyInOrderQtyUnit: line.quantity,
          ...line.userFields,
          TransactionCurrency: line.currency,
          ProductionPlant: PLANT,
          StorageLocation: line.warehouse,
          SalesDocumentRjcnReason: reasonOf(item),
          SDProcessStatus: reasonOf(item) ? 'C' : status,
          DeliveryStatus: status,
          to_ScheduleLine: [
            {
              ...of,
              ScheduleLine: '1',
              ScheduleLineOrderQuantity: line.quantity,
              DeliveredQtyInOrderQtyUnit: new Big(line.quantity).minus(open).toString(),
            },
            { ...of, ScheduleLine: '2', ScheduleLineOrderQuantity: '0', DeliveredQtyInOrderQtyUnit: '0' },
          ],
          to_Text: line.comments
            ? [{ ...of, Language: 'EN', LongTextID: 'TX05', LongText: line.comments }]
            : [],
          to_PricingElement: [
            {
              ...of,
              ConditionType: 'PR00',
              ConditionRateValue: '1.000000000',
              ConditionQuantity: '1',
              ConditionCurrency: line.currency,
              ConditionInactiveReason: 'X',
            },
            {
              ...of,
              ConditionType: 'PPR0',
              ConditionRateValue: new Big(line.unitPrice).toFixed(9),
              ConditionQuantity: '1',
              ConditionQuantityUnit: 'PC',
              ConditionCurrency: line.currency,
            },
            ...(new Big(line.discountPercent).eq(0)
              ? []
              : [
                  {
                    ...of,
                    ConditionType: 'ZDIS',
                    ConditionRateValue: new Big(line.discountPercent).times(-1).toFixed(9),
                    ConditionQuantity: '0',
                    ConditionCurrency: '',
                  },
                ]),
          ],
        }
      }),
      to_Text: entity.comments
        ? [{ SalesOrder: number, Language: 'EN', LongTextID: 'TX01', LongText: entity.comments }]
        : [],
    }
  }

  const orderRow = once(order)

  const delivery = (entity: ErpDelivery): Row => {
    const number = deliveryNumber(entity)
    const created = local(entity.createdAt)
    return {
      DeliveryDocument: number,
      DeliveryDocumentType: 'LF',
      SDDocumentCategory: 'J',
      SoldToParty: entity.cardCode,
      ShipToParty: entity.cardCode,
      DocumentDate: entity.docDate,
      ActualGoodsMovementDate: entity.docDate,
      CreationDate: created.day,
      CreationTime: created.clock,
      LastChangeDate: entity.updatedAt === entity.createdAt ? null : local(entity.updatedAt).day,
      OverallSDProcessStatus: entity.closed ? 'C' : 'B',
      OverallGoodsMovementStatus: 'C',
      to_DeliveryDocumentItem: entity.lines.map((line): Row => {
        const base = world.get('erpOrders', String(line.baseEntry))
        return {
          DeliveryDocument: number,
          DeliveryDocumentItem: String((line.lineNum + 1) * 10),
          Material: line.item,
          DeliveryDocumentItemText: line.description.slice(0, 40),
          ActualDeliveryQuantity: new Big(line.quantity).toFixed(3),
          DeliveryQuantityUnit: unitOf(world.get('erpItems', line.item)?.unit),
          Plant: PLANT,
          StorageLocation: line.warehouse,
          ReferenceSDDocument: base ? orderNumber(base) : '',
          // Not every field of this service loses its zeros.
          ReferenceSDDocumentItem: String((line.baseLine + 1) * 10).padStart(6, '0'),
          ReferenceSDDocumentCategory: 'C',
        }
      }),
    }
  }

  const invoice = (entity: FinanceInvoice): Row => {
    const number = billingNumber(entity)
    const base = world.find('erpOrders', 'docNum', entity.orderNo)
    const paid = new Big(entity.paid)
    return {
      BillingDocument: number,
      SDDocumentCategory: 'M',
      BillingDocumentType: 'F2',
      SoldToParty: base?.cardCode ?? '',
      PayerParty: base?.cardCode ?? '',
      BillingDocumentDate: entity.issueDate,
      CreationDate: entity.createdAt,
      TotalNetAmount: entity.net,
      TaxAmount: entity.tax,
      TotalGrossAmount: entity.gross,
      TransactionCurrency: entity.currency,
      InvoiceClearingStatus: paid.gte(entity.gross) ? 'C' : paid.gt(0) ? 'B' : 'A',
      AccountingPostingStatus: 'C',
      BillingDocumentIsCancelled: entity.cancelled,
      LastChangeDateTime: entity.updatedAt,
      to_Item: entity.lines.map((line, at) => {
        const of = base?.lines[at]
        return {
          BillingDocument: number,
          BillingDocumentItem: String(line.lineNo * 10),
          Material: of?.item ?? '',
          BillingDocumentItemText: line.text.slice(0, 40),
          SalesDocument: entity.orderNo,
          BillingQuantity: line.quantity,
          BillingQuantityUnit: unitOf(world.get('erpItems', of?.item ?? '')?.unit),
          NetAmount: line.net,
          TaxAmount: new Big(line.net)
            .times(of?.taxPercent ?? '0')
            .div(100)
            .toFixed(digitsOf(entity.currency)),
          TransactionCurrency: entity.currency,
        }
      }),
    }
  }

  return {
    partner: once(partner),
    product: once(product),
    stock,
    // Billing changes no order of the world, only what is said of it.
    order: (entity: ErpOrder): Row => ({ ...orderRow(entity), OverallOrdReltdBillgStatus: invoiced(entity) }),
    delivery: once(delivery),
    invoice: once(invoice),
  }
}

/** A partner that is no customer. */
export const SUPPLIER: Row = {
  BusinessPartner: '1000001',
  Customer: '',
  Supplier: '1000001',
  BusinessPartnerCategory: '2',
  BusinessPartnerFullName: '宁波轴承供应商 Bearing Supplier',
  CreationDate: '2025-01-01',
  CreationTime: '08:00:00',
}
