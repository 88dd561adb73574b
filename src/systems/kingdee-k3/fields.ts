/**
 * What the vendor calls things: forms, and for each the query name of every value that is read. Names may be
 * overridden in the configuration, since tenants rename, move and add fields; null: it is not asked for.
 *
 * Names with a sheet's or several clients' word for them stand without remark; what is less sure is said so in
 * README.md. `X.FNumber` follows a reference to basic data.
 * @see WebAPI ExecuteBillQuery; QueryBusinessInfo tells the names of a tenant
 */

export const FORMS = {
  customer: 'BD_Customer',
  product: 'BD_MATERIAL',
  warehouse: 'BD_STOCK',
  inventoryLevel: 'STK_Inventory',
  order: 'SAL_SaleOrder',
  delivery: 'SAL_OUTSTOCK',
  invoice: 'AR_receivable',
} as const
export type FormName = keyof typeof FORMS

export const FIELDS = {
  customer: {
    id: 'FCUSTID', // FID is invalid here
    number: 'FNumber',
    name: 'FName',
    phone: 'FTEL',
    email: null,
    taxNumber: 'FTAXREGISTERCODE',
    contact: null,
    street: 'FADDRESS',
    postalCode: 'FZIP',
    province: 'FPROVINCIAL.FDataValue',
    country: 'FCOUNTRY.FNumber',
    currency: 'FTRADINGCURRID.FNumber',
    creditLimit: null,
    paymentTerms: 'FRECCONDITIONID.FName',
    forbidden: 'FForbidStatus',
    organization: 'FUseOrgId.FNumber',
    created: 'FCreateDate',
    modified: 'FModifyDate',
  },
  product: {
    id: 'FMATERIALID',
    number: 'FNumber',
    name: 'FName',
    foreignName: null,
    barcode: 'FBARCODE',
    unit: 'FBaseUnitId.FNumber',
    documentStatus: 'FDocumentStatus',
    forbidden: 'FForbidStatus',
    organization: 'FUseOrgId.FNumber',
    created: 'FCreateDate',
    modified: 'FModifyDate',
  },
  warehouse: {
    id: 'FStockId',
    number: 'FNumber',
    name: 'FName',
    organization: 'FUseOrgId.FNumber',
    created: 'FCreateDate',
    modified: 'FModifyDate',
  },
  inventoryLevel: {
    id: 'FID',
    product: 'FMaterialId.FNumber',
    warehouse: 'FStockId.FNumber',
    quantity: 'FQty',
    available: 'FAVBQty',
    unit: 'FStockUnitId.FNumber',
    status: 'FStockStatusId.FNumber',
    owner: 'FOwnerId.FNumber',
    organization: 'FStockOrgId.FNumber',
  },
  order: {
    id: 'FID',
    number: 'FBillNo',
    date: 'FDate',
    documentStatus: 'FDocumentStatus',
    closeStatus: 'FCloseStatus',
    cancelStatus: 'FCancelStatus',
    customer: 'FCustId.FNumber',
    customerName: 'FCustId.FName',
    organization: 'FSaleOrgId.FNumber',
    comments: 'FNote',
    currency: 'FSettleCurrId.FNumber',
    rate: 'FExchangeRate',
    taxIncluded: 'FIsIncludedTax',
    net: 'FBillAmount',
    tax: 'FBillTaxAmount',
    gross: 'FBillAllAmount',
    companyNet: 'FBillAmount_LC',
    companyTax: 'FBillTaxAmount_LC',
    companyGross: 'FBillAllAmount_LC',
    created: 'FCreateDate',
    modified: 'FModifyDate',
    entry: 'FSaleOrderEntry_FEntryID',
    row: 'FSaleOrderEntry_FSeq',
    product: 'FMaterialId.FNumber',
    description: 'FMaterialId.FName',
    unit: 'FUnitID.FNumber',
    quantity: 'FQty',
    delivered: 'FStockOutQty',
    open: 'FRemainOutQty',
    price: 'FPrice',
    taxPrice: 'FTaxPrice',
    discountPercent: 'FDiscountRate',
    amount: 'FAmount',
    dueDate: 'FDeliveryDate',
    warehouse: 'FSOStockId.FNumber',
    rowClosed: 'FMrpCloseStatus',
  },
  delivery: {
    id: 'FID',
    number: 'FBillNo',
    date: 'FDate',
    documentStatus: 'FDocumentStatus',
    cancelStatus: 'FCancelStatus',
    customer: 'FCustomerID.FNumber', // not FCustId
    organization: 'FSaleOrgId.FNumber',
    created: 'FCreateDate',
    modified: 'FModifyDate',
    entry: 'FEntity_FENTRYID',
    product: 'FMaterialID.FNumber',
    description: 'FMaterialID.FName',
    unit: 'FUnitID.FNumber',
    quantity: 'FRealQty',
    warehouse: 'FStockID.FNumber',
    order: 'FSoorDerno',
    orderLine: 'FSOEntryId',
  },
  invoice: {
    id: 'FID',
    number: 'FBillNo',
    date: 'FDate',
    dueDate: 'FENDDATE_H',
    documentStatus: 'FDocumentStatus',
    cancelStatus: 'FCancelStatus',
    writtenOff: 'FWRITTENOFFSTATUS',
    customer: 'FCUSTOMERID.FNumber',
    currency: 'FCURRENCYID.FNumber',
    gross: 'FALLAMOUNTFOR',
    organization: 'FSETTLEORGID.FNumber',
    created: 'FCreateDate',
    modified: 'FModifyDate',
    entry: 'FEntityPlan_FEntryID',
    open: 'FNOTVERIFICATEAMOUNT',
  },
} as const satisfies Record<FormName, Readonly<Record<string, string | null>>>

export type FieldName<F extends FormName> = keyof (typeof FIELDS)[F] & string

/** Values of an entry: a query that names one of them answers a row for each entry. */
export const ENTRY_FIELDS: Readonly<Partial<Record<FormName, ReadonlySet<string>>>> = {
  order: new Set(
    'entry row product description unit quantity delivered open price taxPrice discountPercent amount dueDate warehouse rowClosed'.split(
      ' ',
    ),
  ),
  delivery: new Set('entry product description unit quantity warehouse order orderLine'.split(' ')),
  invoice: new Set(['entry', 'open']),
}
