/**
 * The first day of the demo world. Four customers and five products are written by hand and left alone by
 * `life.ts`, so that documentation can promise answers; the rest is generated.
 */

import { seedParcels } from './parcels.ts'
import { createRandom, type Random } from './random.ts'
import { seedShops } from './shops.ts'
import type { ErpAccount, ErpItem, WorldState } from './state.ts'
import { billOrder, deliver, pay, placeOrder } from './trade.ts'
import { seedWarehousing } from './warehousing.ts'

export interface SeedSizes {
  readonly seed: number
  readonly customers: number
  readonly products: number
  readonly orders: number
  /** Which company of a group this is: the customers and products written by hand are shared, the rest is its own. */
  readonly company: number
}

/** Customers and products up to these ranks keep still while the world moves. */
export const QUIET_CUSTOMERS = 5
export const QUIET_PRODUCTS = 5

interface Person {
  readonly name: string
  readonly title: string
}

interface Company {
  readonly name: string
  readonly country: string
  readonly city: string
  readonly province: string
  readonly street: string
  readonly zip: string
  readonly domain: string
  readonly currency: string
  /** A second ERP account in this currency. */
  readonly secondCurrency?: string
  readonly industry: string
  readonly level: string
  readonly people: readonly Person[]
  readonly inErp: boolean
  /** What its ERP account says beside that. */
  readonly account?: Partial<ErpAccount>
}

const HAND_WRITTEN: readonly Company[] = [
  {
    name: '上海晨光精密机械有限公司',
    country: 'CN',
    city: '上海',
    province: '上海市',
    street: '浦东新区张江路 88 号',
    zip: '201203',
    domain: 'chenguang-jm.example',
    currency: 'CNY',
    industry: '机械制造',
    level: 'VIP',
    people: [
      { name: '王芳', title: '采购总监' },
      { name: '李强', title: '财务经理' },
    ],
    inErp: true,
    account: {
      legalName: '上海晨光精密机械有限公司（本部）',
      industry: '机械制造',
      province: '上海市',
      otherAddresses: [
        {
          type: 'shipping',
          street: '青浦区华新镇华腾路 1288 号 3 库',
          city: '上海',
          province: '上海市',
          zip: '201708',
          country: 'CN',
          isDefault: true,
        },
      ],
      tags: ['重点客户'],
    },
  },
  {
    name: 'Nordlicht Maschinenbau GmbH',
    country: 'DE',
    city: 'Hamburg',
    province: 'Hamburg',
    street: 'Speicherstraße 12',
    zip: '20457',
    domain: 'nordlicht.example',
    currency: 'EUR',
    secondCurrency: 'USD',
    industry: 'Mechanical engineering',
    level: 'PREMIUM',
    people: [{ name: 'Jürgen Groß', title: 'Einkauf' }],
    inErp: true,
  },
  {
    name: 'Pacific Rim Trading, Inc.',
    country: 'US',
    city: 'Seattle',
    province: 'WA',
    street: '500 Pike St',
    zip: '98101',
    domain: 'pacificrim.example',
    currency: 'USD',
    industry: 'Wholesale',
    level: 'PREMIUM',
    people: [{ name: "Siobhán O'Neill", title: 'VP Supply Chain' }],
    inErp: true,
  },
  {
    name: '株式会社みなと物産',
    country: 'JP',
    city: '横浜市',
    province: '神奈川県',
    street: '中区本町 6-50',
    zip: '231-0005',
    domain: 'minato.example',
    currency: 'JPY',
    industry: '商社',
    level: 'STANDARD',
    people: [{ name: '佐藤 健', title: '購買部長' }],
    inErp: true,
  },
  {
    name: '深圳云帆科技有限公司',
    country: 'CN',
    city: '深圳',
    province: '广东省',
    street: '南山区科技园南路 1 号',
    zip: '518057',
    domain: 'yunfan.example',
    currency: 'CNY',
    industry: '电子',
    level: 'BASIC',
    people: [{ name: '陈𠮷', title: 'CEO' }],
    inErp: false, // a prospect: the CRM knows it, no ERP does
  },
]

const HAND_WRITTEN_PRODUCTS: readonly (Pick<ErpItem, 'name' | 'foreignName' | 'price' | 'unit'> &
  Partial<ErpItem>)[] = [
  {
    name: '精密轴承 6204',
    foreignName: 'Precision bearing 6204',
    price: '12.80',
    unit: '个',
    description: '深沟球轴承，双面密封',
    groupPath: ['机械件', '轴承'],
    specifications: [
      { name: '内径', value: '20', unit: 'mm' },
      { name: '材质', value: 'GCr15' },
    ],
    cost: '7.35',
    minOrder: '10',
    maxOrder: '5000',
    supplier: { code: 'V30001', name: '洛阳轴研精工', leadTimeDays: 14 },
    images: ['https://files.example/6204.jpg'],
    documents: ['https://files.example/6204.pdf'],
    tags: ['标准件', '热销'],
  },
  { name: '伺服电机 750W', foreignName: 'Servo motor 750 W', price: '1680.00', unit: '台' },
  { name: '线性导轨 1m', foreignName: 'Linear guide 1 m', price: '356.50', unit: '根' },
  { name: '联轴器 D30', foreignName: 'Coupling D30', price: '48.335', unit: '个' },
  { name: '控制器 PLC-200', foreignName: 'Controller PLC-200', price: '2299.00', unit: '台' },
]

const WAREHOUSES = [
  { code: '01', name: '上海总仓' },
  { code: '02', name: '深圳仓' },
  { code: 'HAM', name: 'Hamburg' },
  { code: 'YOK', name: '横浜倉庫' },
] as const

const TERMS = [
  { code: -1, name: '现结' },
  { code: 2, name: '月结 30 天' },
  { code: 3, name: 'Net 60' },
] as const

/** History ends here; everything later happened while the demo ran. */
const LAST_DAY = Date.UTC(2026, 5, 30)
const DAY = 86_400_000
/** What was made after that happened while the demo ran, in this run or an earlier one. */
export const HISTORY_ENDS = new Date(LAST_DAY + DAY).toISOString()
const at = (daysBefore: number, hour = 9): string =>
  new Date(LAST_DAY - daysBefore * DAY + hour * 3_600_000).toISOString()
const pad = (n: number, width: number): string => String(n).padStart(width, '0')

/** Every system numbers customers and products its own way; only tax number and barcode are shared. */
export const crmIdOf = (rank: number): string => String(70_000 + rank * 7)
export const cardCodeOf = (rank: number): string => `C${20_000 + rank}`
export const financeNoOf = (rank: number): string => `D-${pad(rank * 3, 5)}`
export const itemCodeOf = (rank: number): string => `A${pad(rank, 5)}`
export const productNoOf = (rank: number): string => `M-${1_000 + rank * 11}`

/** The account that no other system knows. */
export const WALK_IN_ACCOUNT = 'C99001'

export function seedWorld(world: WorldState, sizes: SeedSizes): void {
  const random = createRandom(sizes.seed)
  for (const warehouse of WAREHOUSES) world.put('erpWarehouses', { ...warehouse })
  for (let rank = 1; rank <= Math.max(sizes.products, HAND_WRITTEN_PRODUCTS.length); rank++) {
    seedProduct(world, random, rank, sizes.company)
  }
  const ranks = Math.max(sizes.customers, HAND_WRITTEN.length)
  for (let rank = 1; rank <= ranks; rank++) {
    seedCustomer(world, HAND_WRITTEN[rank - 1] ?? generateCompany(random, rank), rank, sizes.company)
  }
  world.put('erpAccounts', {
    cardCode: WALK_IN_ACCOUNT,
    name: '零散客户 Walk-in customer',
    taxNumber: null,
    currency: 'CNY',
    creditLimit: '0',
    paymentTerms: TERMS[0],
    phone: '',
    email: '',
    street: '',
    city: '',
    zip: '',
    country: 'CN',
    frozen: false,
    createdAt: at(400),
    updatedAt: at(400),
  })
  if (sizes.company === 0) seedHandWrittenOrders(world)
  else seedOrdersOfCompany(world, sizes.company)
  seedOrders(world, random, sizes)
  seedWarehousing(world)
  seedParcels(world)
  seedShops(world, LAST_DAY)
}

/** Numbers that the world outside gives out: no two customers or products share one, whichever company has them. */
const publicNumber = (rank: number, isShared: boolean, company: number): number =>
  isShared ? rank : rank + company * 1_000

function seedProduct(world: WorldState, random: Random, rank: number, company: number): void {
  const written = HAND_WRITTEN_PRODUCTS[rank - 1]
  const size = random.int(10, 99)
  const kind = random.pick([
    ['传感器', 'Sensor', '个'],
    ['气缸', 'Cylinder', '个'],
    ['电缆', 'Cable', '米'],
    ['阀门', 'Valve', '个'],
    ['减速机', 'Gearbox', '台'],
  ] as const)
  const price = `${random.int(3, 1800)}.${pad(random.int(0, 99), 2)}`
  const code = itemCodeOf(rank)
  const barcode = `69${pad(publicNumber(rank, written !== undefined, company) * 104_729, 11)}`
  world.put('erpItems', {
    ...written,
    code,
    name: written?.name ?? `${kind[0]} ${size}-${rank}`,
    foreignName: written?.foreignName ?? `${kind[1]} ${size}-${rank}`,
    barcode,
    unit: written?.unit ?? kind[2],
    price: written?.price ?? price,
    group: 100 + (rank % 5),
    active: true,
    createdAt: at(500),
    updatedAt: at(120 + (rank % 90)),
  })
  world.put('financeProducts', {
    productNo: productNoOf(rank),
    name: written?.name ?? `${kind[0]} ${size}-${rank}`,
    barcode,
  })
  WAREHOUSES.forEach((warehouse, index) => {
    // Not every product lies everywhere.
    if (index > 1 && (rank + index) % 3 === 0) return
    world.put('erpStock', {
      id: `${code}@${warehouse.code}`,
      item: code,
      warehouse: warehouse.code,
      inStock: String(100 + ((rank * 37 + index * 211) % 900)),
      committed: '0',
      ordered: index === 0 ? String((rank * 13) % 200) : '0',
    })
  })
}

function seedCustomer(world: WorldState, company: Company, rank: number, ours: number): void {
  const registered = publicNumber(rank, HAND_WRITTEN[rank - 1] !== undefined, ours)
  const taxNumber =
    company.country === 'CN'
      ? `9131${pad(registered, 4)}MA1K${pad(registered * 7919, 6)}`
      : `${company.country}${pad(registered * 104_729, 9)}`
  const phone = `+${company.country === 'CN' ? '86 21' : '1 206'} 5550 ${pad(rank, 4)}`
  const email = `info@${company.domain}`
  const createdAt = at(600 - (rank % 300))
  world.put('crmCustomers', {
    id: crmIdOf(rank),
    name: company.name,
    level: company.level,
    industry: company.industry,
    taxNumber,
    phone,
    email,
    address: {
      street: company.street,
      city: company.city,
      province: company.province,
      postalCode: company.zip,
      country: company.country,
    },
    contacts: company.people.map((person, index) => ({
      ...person,
      phone,
      email: `contact${index + 1}@${company.domain}`,
      primary: index === 0,
    })),
    createdAt,
    updatedAt: at(90 + (rank % 60)),
    revision: 1,
  })
  world.put('crmOpportunities', {
    id: `OP-${pad(rank, 5)}`,
    name: `${company.name} ${rank % 2 ? '年度框架' : 'Retrofit line 2'}`,
    customerId: crmIdOf(rank),
    stage: ['PROPOSAL', 'NEGOTIATION', 'QUALIFICATION', 'WON'][rank % 4] as string,
    amount: `${rank * 1000 + ours * 10_000}.50`,
    currency: company.currency,
    probability: [50, 75, 20, 100][rank % 4] as number,
    closeDate: at(-30 - rank).slice(0, 10),
    owner: 'zhang.wei',
    externalRef: null,
    createdAt,
    updatedAt: at(80 + (rank % 60)),
  })
  if (!company.inErp) return
  const currencies = [company.currency, ...(company.secondCurrency ? [company.secondCurrency] : [])]
  currencies.forEach((currency, index) => {
    world.put('erpAccounts', {
      ...company.account,
      cardCode: index === 0 ? cardCodeOf(rank) : `${cardCodeOf(rank)}-${currency}`,
      name: company.name,
      taxNumber,
      currency,
      creditLimit: `${100_000 + rank * 5_000}.00`,
      paymentTerms: TERMS[(rank + index) % TERMS.length] ?? TERMS[0],
      phone,
      email,
      street: company.street,
      city: company.city,
      zip: company.zip,
      country: company.country,
      frozen: false,
      createdAt,
      updatedAt: at(70 + (rank % 60)),
    })
  })
  world.put('financeCustomers', {
    customerNo: financeNoOf(rank),
    name: company.name,
    taxNumber,
    updatedAt: createdAt,
  })
}

function seedHandWrittenOrders(world: WorldState): void {
  // Rank 1: one order delivered, billed and partly paid; one half delivered; one just placed.
  const paid = placeOrder(world, {
    cardCode: cardCodeOf(1),
    currency: 'CNY',
    docDate: '2026-05-11',
    dueDate: '2026-05-25',
    numAtCard: 'CG-2026-0511',
    lines: [
      { item: itemCodeOf(1), quantity: '100', warehouse: '01' },
      { item: itemCodeOf(4), quantity: '33', warehouse: '01' },
      { item: itemCodeOf(4), quantity: '7', discountPercent: '5', warehouse: '02' },
    ],
    at: at(50),
  })
  deliver(world, paid, 1, at(40))
  const bill = billOrder(world, paid, at(39), financeNoOf(1))
  if (bill) {
    pay(world, {
      customerNo: bill.customerNo,
      date: '2026-06-01',
      amount: '1000.00',
      currency: 'CNY',
      method: 'TRANSFER',
      reference: '首付款',
      externalReference: 'seed-1',
      applications: [{ invoiceNo: bill.invoiceNo, amount: '1000.00' }],
      at: at(29),
    })
    const paidInPart = world.get('financeInvoices', bill.invoiceNo) ?? bill
    const taxInvoice = {
      kind: '增值税专用发票',
      code: '3100224130',
      number: '08123457',
      day: '2026-05-22',
      file: 'https://finance.example.com/tax-invoices/3100224130-08123457.ofd',
    }
    world.put('financeInvoices', { ...paidInPart, taxInvoices: [taxInvoice] })
  }
  const half = placeOrder(world, {
    cardCode: cardCodeOf(1),
    currency: 'CNY',
    docDate: '2026-06-08',
    dueDate: '2026-06-30',
    numAtCard: 'CG-2026-0608',
    shipTo: {
      name: '李强',
      phone: '+86 21 5550 0001',
      street: '青浦区华新镇华腾路 1288 号 3 库',
      city: '上海',
      province: '上海市',
      zip: '201708',
      country: 'CN',
    },
    payment: { method: 'TRANSFER', terms: '月结 30 天', dueDate: '2026-07-08' },
    references: { quotation: 'QT-2026-031', contract: 'HT-2026-007' },
    lines: [
      { item: itemCodeOf(2), quantity: '4', warehouse: '01' },
      { item: itemCodeOf(5), quantity: '2', warehouse: '01' },
    ],
    at: at(22),
  })
  deliver(world, half, 0.5, at(15))
  placeOrder(world, {
    cardCode: cardCodeOf(1),
    currency: 'CNY',
    docDate: '2026-06-24',
    dueDate: '2026-07-15',
    lines: [{ item: itemCodeOf(3), quantity: '12', warehouse: '02' }],
    at: at(6),
  })
  // Rank 2 buys through two accounts; the dollar order shows two currencies in a company that books in yuan.
  const euro = placeOrder(world, {
    cardCode: cardCodeOf(2),
    currency: 'EUR',
    docDate: '2026-06-02',
    dueDate: '2026-06-20',
    numAtCard: 'NL/4711',
    lines: [{ item: itemCodeOf(5), quantity: '3', price: '310.00', warehouse: 'HAM' }],
    at: at(28),
  })
  deliver(world, euro, 1, at(20))
  billOrder(world, euro, at(19), financeNoOf(2))
  placeOrder(world, {
    cardCode: `${cardCodeOf(2)}-USD`,
    currency: 'USD',
    docDate: '2026-06-18',
    dueDate: '2026-07-10',
    numAtCard: 'NL/4712',
    lines: [
      { item: itemCodeOf(2), quantity: '5', price: '249.99', warehouse: 'HAM' },
      { item: itemCodeOf(1), quantity: '250', price: '1.8333', warehouse: 'HAM' },
    ],
    at: at(12),
  })
  placeOrder(world, {
    cardCode: cardCodeOf(3),
    currency: 'USD',
    docDate: '2026-06-19',
    dueDate: '2026-07-19',
    lines: [{ item: itemCodeOf(5), quantity: '10', price: '330.00', warehouse: '01' }],
    at: at(11),
  })
  // Yen have no decimals, not even in the totals.
  const yen = placeOrder(world, {
    cardCode: cardCodeOf(4),
    currency: 'JPY',
    docDate: '2026-06-20',
    dueDate: '2026-07-05',
    lines: [{ item: itemCodeOf(4), quantity: '15', price: '1003', warehouse: 'YOK' }],
    at: at(10),
  })
  deliver(world, yen, 1, at(4))
  billOrder(world, yen, at(3), financeNoOf(4))
  placeOrder(world, {
    cardCode: WALK_IN_ACCOUNT,
    currency: 'CNY',
    docDate: '2026-06-25',
    dueDate: '2026-06-25',
    comments: '现金零售 🧾',
    lines: [{ item: itemCodeOf(1), quantity: '2', warehouse: '01' }],
    at: at(5),
  })
}

/** What the shared customers have bought from another company of the group: less, and on days of its own. */
function seedOrdersOfCompany(world: WorldState, company: number): void {
  const day = (n: number) => `2026-06-${pad(n, 2)}`
  const sold = placeOrder(world, {
    cardCode: cardCodeOf(1),
    currency: 'CNY',
    docDate: day(10 + company),
    dueDate: day(20 + company),
    numAtCard: `CG-${company}-${day(10 + company)}`,
    lines: [
      { item: itemCodeOf(1), quantity: String(company * 10), warehouse: '01' },
      { item: itemCodeOf(1 + (company % 5)), quantity: String(company), warehouse: '01' },
    ],
    at: at(20 - company),
  })
  deliver(world, sold, 1, at(12 - company))
  billOrder(world, sold, at(11 - company), financeNoOf(1))
  placeOrder(world, {
    cardCode: cardCodeOf(2),
    currency: 'EUR',
    docDate: day(20 + company),
    dueDate: '2026-07-20',
    numAtCard: `NL/${company}`,
    lines: [{ item: itemCodeOf(2), quantity: String(company), price: '250.00', warehouse: 'HAM' }],
    at: at(10 - company),
  })
}

function seedOrders(world: WorldState, random: Random, sizes: SeedSizes): void {
  const movers = world
    .all('erpAccounts')
    .map((account) => ({ account, rank: Number(account.cardCode.slice(1, 6)) - 20_000 }))
    .filter(({ account, rank }) => rank > QUIET_CUSTOMERS && account.cardCode !== WALK_IN_ACCOUNT)
  if (movers.length === 0) return
  for (let n = world.count('erpOrders'); n < sizes.orders; n++) {
    const { account, rank } = random.pick(movers)
    const daysBefore = Math.floor(((sizes.orders - n) / sizes.orders) * 170)
    const order = placeOrder(world, {
      cardCode: account.cardCode,
      currency: account.currency,
      docDate: at(daysBefore).slice(0, 10),
      dueDate: at(daysBefore - 20).slice(0, 10),
      confirmed: random.next() > 0.1,
      lines: orderLines(world, random),
      at: at(daysBefore, random.int(1, 10)),
    })
    const fate = random.next()
    if (fate < 0.45) {
      deliver(world, order, 1, at(Math.max(1, daysBefore - 5)))
      billOrder(world, order, at(Math.max(1, daysBefore - 6)), financeNoOf(rank))
    } else if (fate < 0.6) {
      deliver(world, order, 0.4, at(Math.max(1, daysBefore - 5)))
    }
  }
}

/** One to four lines of products that may move. */
export function orderLines(
  world: WorldState,
  random: Random,
): { item: string; quantity: string; warehouse: string }[] {
  const products = world.count('erpItems')
  const count = random.int(1, 4)
  return Array.from({ length: count }, () => {
    const rank =
      products > QUIET_PRODUCTS ? random.int(QUIET_PRODUCTS + 1, products) : random.int(1, products)
    return {
      item: itemCodeOf(rank),
      quantity: String(random.int(1, 20)),
      warehouse: random.pick(['01', '02']),
    }
  })
}

function generateCompany(random: Random, rank: number): Company {
  const abroad = rank % 3 === 0
  const industry = random.pick(['电子', '汽车零部件', '包装', '医疗器械', 'Retail', 'Energy'])
  const level = random.pick(['VIP', 'PREMIUM', 'STANDARD', 'STANDARD', 'BASIC'])
  const domain = `customer${rank}.example`
  if (abroad) {
    const place = random.pick([
      ['US', 'Denver', 'CO', 'USD'],
      ['DE', 'Köln', 'NRW', 'EUR'],
      ['GB', 'Leeds', 'England', 'GBP'],
      ['JP', '大阪市', '大阪府', 'JPY'],
    ] as const)
    return {
      name: `${random.pick(['Blue Ridge', 'Atlas', 'Vega', 'Harbor', 'Rhein', 'Orion'])} ${random.pick(['Components', 'Systems', 'Supply', 'Industries'])} ${rank}`,
      country: place[0],
      city: place[1],
      province: place[2],
      street: `${rank} Main St`,
      zip: pad(rank, 5),
      domain,
      currency: place[3],
      industry,
      level,
      people: [{ name: `Alex ${random.pick(['Müller', 'Smith', "D'Arcy", 'Tanaka'])}`, title: 'Buyer' }],
      inErp: true,
    }
  }
  const city = random.pick([
    ['苏州', '江苏省'],
    ['宁波', '浙江省'],
    ['成都', '四川省'],
    ['青岛', '山东省'],
  ] as const)
  return {
    name: `${city[0]}${random.pick(['华', '瑞', '恒', '鼎', '盛'])}${random.pick(['达', '泰', '源', '信', '丰'])}${random.pick(['机电', '科技', '贸易', '实业'])}有限公司 ${rank}`,
    country: 'CN',
    city: city[0],
    province: city[1],
    street: `人民路 ${rank} 号`,
    zip: pad(200_000 + rank, 6),
    domain,
    currency: 'CNY',
    industry,
    level,
    people: [
      {
        name: `${random.pick(['赵', '钱', '孙', '周', '吴'])}${random.pick(['伟', '敏', '静', '磊'])}`,
        title: '采购',
      },
    ],
    inErp: true,
  }
}
