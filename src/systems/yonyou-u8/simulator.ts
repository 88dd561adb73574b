/**
 * A U8 company behind the OpenAPI gateway on loopback: the ERP part of the demo world in the gateway's words. Strict
 * where the gateway is (token, number of a write, required fields) and where it is not known to be lenient (unknown
 * parameters and fields); writes are carried out later, by an agent that can be taken away.
 */
import { randomUUID } from 'node:crypto'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { cancelOrder, changeOrder, moveStock, placeOrder, TAX_PERCENT } from '../../simulation/trade.ts'
import type {
  CollectionName,
  Collections,
  ErpAccount,
  ErpItem,
  ErpOrder,
  ErpOrderLine,
  World,
} from '../../simulation/world.ts'

export interface YonyouU8SimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `demo_dev`. */
  readonly fromAccount?: string
  /** Default `demo_u8`. */
  readonly toAccount?: string
  /** Default `opa-demo`. */
  readonly appKey?: string
  /** Default `demo`. */
  readonly appSecret?: string
  /** Default 7200 s. */
  readonly tokenLifetimeMs?: number
  /** How long the agent takes for a write. Default 0: it is done before the answer is sent. */
  readonly workMs?: number
  /** What a second write under the same number leads to. Default `same`: the first one's result. */
  readonly repeated?: 'same' | 'again' | 'refused'
  /** Rows in a page at most. Default 1000. */
  readonly maxRows?: number
  /** `saleorder/get` tells the totals of the head as well. Default false: only the list does. */
  readonly wholeHeads?: boolean
  /** Orders tell their currency and rate. Default true. */
  readonly orderCurrency?: boolean
  /** Stock is kept in batches: two rows for each place. Default false. */
  readonly batches?: boolean
  /** Serves the customer table of this account set under `POST /api/customer/query`. */
  readonly tableOf?: string
}

export interface YonyouU8Simulator extends Simulator {
  /** Every token given so far ends now. */
  expireTokens(): void
  /** Whether the agent beside the U8 server is running. */
  setAgent(online: boolean): void
}

const CURRENCY_NAMES: Readonly<Record<string, string>> = {
  CNY: '人民币',
  USD: '美元',
  EUR: '欧元',
  JPY: '日元',
  GBP: '英镑',
}
const DEPARTMENTS = new Set(['01', '02'])
const SALE_TYPES = new Set(['01', '02'])
const BUSINESS_TYPES = new Set(['普通销售', '委托代销', '分期收款', '直运销售'])
const DEFAULT_WAREHOUSE = '01'
const MAKER = 'demo'
/** The demo company's server stands in Shanghai; its records say so nowhere. */
const OFFSET_MS = 8 * 3_600_000

type Row = Record<string, unknown>

/** Said by the gateway or by the agent; HTTP 200 either way. The vendor publishes no list: these codes are ours. */
class Refusal extends Error {
  readonly errcode: string
  constructor(errcode: string, errmsg: string) {
    super(errmsg)
    this.errcode = errcode
  }
}

const json = (body: unknown): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json;charset=UTF-8' },
  body: JSON.stringify(body),
})

export async function startYonyouU8Simulator(
  world: World,
  options: YonyouU8SimulatorOptions = {},
): Promise<YonyouU8Simulator> {
  const gateway = createGateway(options)
  const company = createCompany(world, options)
  const agent = createAgent(options)

  const handle = (request: SimulatedRequest): SimulatedResponse => {
    try {
      return json(serve(request))
    } catch (error) {
      if (error instanceof Refusal) return json({ errcode: error.errcode, errmsg: error.message })
      throw error
    }
  }

  const serve = (request: SimulatedRequest): Row => {
    const { method, path, query } = request
    if (method === 'GET' && path === '/system/token') return gateway.token(query)
    if (method === 'GET' && path === '/system/tradeid') return gateway.trade(query)
    if (method === 'GET' && path === '/result') return agent.result(query)
    if (method === 'POST' && path === '/api/customer/query' && options.tableOf !== undefined) {
      gateway.checkBearer(request)
      agent.check()
      return company.table(bodyOf(request), options.tableOf)
    }
    const own = gateway.check(query)
    agent.check()
    if (method === 'GET') {
      const read = company.reads[path]
      if (!read) throw new Refusal('40004', `接口不存在: ${path}`)
      return { errcode: '0', errmsg: '', ...read(own) }
    }
    const write = method === 'POST' ? company.writes[path] : undefined
    if (!write) throw new Refusal('40004', `接口不存在: ${path}`)
    const number = gateway.number(own)
    const voucher = bodyOf(request).saleorder
    if (!isObject(voucher)) throw new Refusal('40003', '参数错误: 缺少 saleorder')
    write.check(voucher)
    return agent.take(number, () => write.work(voucher), `http://${request.headers.host}`)
  }

  const server = await startSimulatorServer({
    handle,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  const { close } = server
  return Object.assign(server, {
    expireTokens: gateway.expire,
    setAgent: agent.set,
    close: async () => {
      agent.stop()
      company.stop()
      await close()
    },
  })
}

function bodyOf(request: SimulatedRequest): Row {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
    throw new Refusal('40003', '参数错误: Content-Type')
  }
  try {
    const body: unknown = JSON.parse(request.body.toString('utf8'))
    if (isObject(body)) return body
  } catch {
    // said below
  }
  throw new Refusal('40003', '参数错误: 不是 JSON')
}

const isObject = (value: unknown): value is Row =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/* ---- the gateway ---- */

function createGateway(options: YonyouU8SimulatorOptions) {
  const fromAccount = options.fromAccount ?? 'demo_dev'
  const toAccount = options.toAccount ?? 'demo_u8'
  const appKey = options.appKey ?? 'opa-demo'
  const lifetimeMs = options.tokenLifetimeMs ?? 7_200_000
  const tokens = new Map<string, number>()
  const trades = new Set<string>()

  const only = (query: URLSearchParams, names: readonly string[]) => {
    const values = names.map((name) => {
      const given = query.getAll(name)
      if (given.length !== 1 || !given[0]) throw new Refusal('40003', `参数错误: ${name}`)
      return given[0]
    })
    for (const name of query.keys()) {
      if (!names.includes(name)) throw new Refusal('40003', `参数错误: ${name}`)
    }
    return values
  }
  const checkApp = (from: string | null, key: string | null) => {
    if (from !== fromAccount || key !== appKey) throw new Refusal('10001', 'from_account 或 app_key 错误')
  }
  const checkToken = (token: string | null) => {
    const endsAt = tokens.get(token ?? '')
    if (endsAt === undefined) throw new Refusal('10013', 'token 无效')
    if (endsAt < Date.now()) throw new Refusal('10014', 'token 已过期')
  }

  return {
    token(query: URLSearchParams): Row {
      const [from = '', key = '', secret] = only(query, ['from_account', 'app_key', 'app_secret'])
      checkApp(from, key)
      if (secret !== (options.appSecret ?? 'demo')) throw new Refusal('10002', 'app_secret 错误')
      const id = randomUUID().replaceAll('-', '')
      tokens.set(id, Date.now() + lifetimeMs)
      return { errcode: '0', errmsg: '', token: { appKey, id, expiresIn: Math.round(lifetimeMs / 1000) } }
    },

    trade(query: URLSearchParams): Row {
      const [from = '', key = '', token = ''] = only(query, ['from_account', 'app_key', 'token'])
      checkApp(from, key)
      checkToken(token)
      const id = randomUUID().replaceAll('-', '')
      trades.add(id)
      return { errcode: '0', errmsg: '', trade: { id } }
    },

    /** Answers the parameters that are left for the call itself. */
    check(query: URLSearchParams): URLSearchParams {
      checkApp(query.get('from_account'), query.get('app_key'))
      checkToken(query.get('token'))
      if (query.get('to_account') !== toAccount) throw new Refusal('10003', 'to_account 错误')
      const sequence = query.get('ds_sequence')
      if (sequence !== null && sequence !== '1') throw new Refusal('10005', '数据源序号不存在')
      const own = new URLSearchParams(query)
      for (const name of ['from_account', 'to_account', 'app_key', 'token', 'ds_sequence']) own.delete(name)
      return own
    },

    checkBearer(request: SimulatedRequest) {
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
      checkToken(token ?? null)
      if (request.rawQuery !== '') throw new Refusal('40003', '参数错误')
    },

    number(own: URLSearchParams): string {
      const [name] = [...own.keys()]
      if (name === 'biz_id') return `biz ${only(own, ['biz_id'])[0]}`
      const [trade = ''] = only(own, ['tradeid'])
      if (!trades.has(trade)) throw new Refusal('10020', 'tradeid 无效')
      return trade
    },

    expire() {
      for (const id of tokens.keys()) tokens.set(id, 0)
    },
  }
}

/* ---- the agent ---- */

interface Job {
  readonly id: string
  readonly number: string
  state: { done: false } | { done: true; answer: Row }
}

function createAgent(options: YonyouU8SimulatorOptions) {
  const jobs = new Map<string, Job>()
  const timers = new Set<NodeJS.Timeout>()
  let online = true

  const run = (job: Job, work: () => string) => {
    try {
      job.state = { done: true, answer: { errcode: '0', errmsg: '', id: work(), tradeid: job.number } }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      job.state = { done: true, answer: { errcode: error.errcode, errmsg: error.message } }
    }
  }

  return {
    check() {
      if (!online) throw new Refusal('20011', '企业的开放平台客户端不在线')
    },
    set(on: boolean) {
      online = on
    },
    take(number: string, work: () => string, address: string): Row {
      const known = [...jobs.values()].find((job) => job.number === number)
      if (known && options.repeated === 'refused') throw new Refusal('10021', 'tradeid 已使用')
      const url = (job: Job) => `${address}/result?requestid=${job.id}`
      const accepted = (job: Job) => ({ errcode: '0', errmsg: '', tradeid: number, url: url(job) })
      if (known && options.repeated !== 'again') return accepted(known)
      const job: Job = { id: randomUUID(), number, state: { done: false } }
      jobs.set(job.id, job)
      if (options.workMs) {
        const timer = setTimeout(() => {
          timers.delete(timer)
          run(job, work)
        }, options.workMs)
        timers.add(timer)
      } else {
        run(job, work)
      }
      return accepted(job)
    },
    result(query: URLSearchParams): Row {
      const job = jobs.get(query.get('requestid') ?? '')
      if (!job) throw new Refusal('40005', 'requestid 不存在')
      return job.state.done ? job.state.answer : { errcode: '20001', errmsg: '请求正在处理中' }
    },
    stop() {
      for (const timer of timers) clearTimeout(timer)
    },
  }
}

/* ---- the company ---- */

type Filter = Readonly<Record<string, (row: Row, value: string) => boolean>>

const fold = (text: unknown): string => String(text ?? '').toLowerCase()
/** As SQL Server compares: without regard to case. */
const from = (name: string) => (row: Row, value: string) => fold(row[name]) >= fold(value)
const to = (name: string) => (row: Row, value: string) => fold(row[name]) <= fold(value)
const equal = (name: string) => (row: Row, value: string) => fold(row[name]) === fold(value)
const contains = (name: string) => (row: Row, value: string) => fold(row[name]).includes(fold(value))
const range = (parameter: string, name: string): Filter => ({
  [`${parameter}_begin`]: from(name),
  [`${parameter}_end`]: to(name),
})
const VERSIONS: Filter = {
  timestamp_begin: (row, value) => BigInt(String(row.timestamp)) >= BigInt(value),
  timestamp_end: (row, value) => BigInt(String(row.timestamp)) <= BigInt(value),
}

const TEXT_DEFINES = [1, 2, 3, 8, 9, 10, 11, 12, 13, 14].map((n) => `define${n}`)

const CUSTOMER_FILTER: Filter = { ...range('code', 'code'), name: contains('name'), ...VERSIONS }
const ITEM_FILTER: Filter = {
  ...range('code', 'code'),
  name: contains('name'),
  sort_code: equal('sort_code'),
  ...VERSIONS,
}
const WAREHOUSE_FILTER: Filter = { ...range('code', 'code'), name: contains('name') }
const STOCK_FILTER: Filter = {
  ...range('whcode', 'whcode'),
  ...range('invcode', 'invcode'),
  whname: contains('whname'),
  invname: contains('invname'),
  batch: equal('batch'),
}
const ORDER_FILTER: Filter = {
  ...range('code', 'code'),
  ...range('date', 'date'),
  ...range('dpredatebt', 'dpredatebt'),
  ...VERSIONS,
  state: equal('state'),
  custcode: equal('custcode'),
  cusname: contains('cusname'),
  memo: contains('memo'),
  maker: equal('maker'),
  fhstatus: equal('fhstatus'),
  ...Object.fromEntries(TEXT_DEFINES.map((name) => [name, equal(name)])),
}

interface Write {
  /** What the gateway refuses at once. */
  check(voucher: Row): void
  /** What the agent does later; answers the id. */
  work(voucher: Row): string
}

function createCompany(world: World, options: YonyouU8SimulatorOptions) {
  /* Row versions, as SQL Server counts them over the whole database. */
  const versions = new Map<string, bigint>()
  let counter = 5_000_000n
  const versionOf = (collection: CollectionName, key: string): string => {
    const name = `${collection}/${key}`
    let version = versions.get(name)
    if (version === undefined) {
      counter += 3n
      version = counter
      versions.set(name, version)
    }
    return version.toString()
  }
  for (const account of world.all('erpAccounts')) versionOf('erpAccounts', account.cardCode)
  for (const item of world.all('erpItems')) versionOf('erpItems', item.code)
  for (const order of world.all('erpOrders')) versionOf('erpOrders', String(order.docEntry))
  const stop = world.onChange(({ collection, entity }) => {
    const key =
      collection === 'erpAccounts'
        ? (entity as Collections['erpAccounts']).cardCode
        : collection === 'erpItems'
          ? (entity as Collections['erpItems']).code
          : collection === 'erpOrders'
            ? String((entity as Collections['erpOrders']).docEntry)
            : null
    if (key === null) return
    counter += 3n
    versions.set(`${collection}/${key}`, counter)
  })

  const orderOf = (code: string): ErpOrder | undefined =>
    /^0{0,9}\d+$/.test(code) ? world.all('erpOrders').find((order) => codeOf(order) === code) : undefined

  const customer = (account: ErpAccount): Row =>
    given({
      code: account.cardCode,
      name: account.name,
      abbrname: account.name.slice(0, 20),
      sort_code: '01',
      tax_reg_code: account.taxNumber,
      address: account.street,
      postcode: account.zip,
      phone: account.phone,
      email: account.email,
      ccusexch_name: CURRENCY_NAMES[account.currency] ?? account.currency,
      credit_amount: new Big(account.creditLimit).toFixed(2),
      pay_condition: account.paymentTerms.name,
      spec_operator_dept: account.country === 'CN' ? '01' : '02',
      bcusdomestic: account.country === 'CN' ? '1' : '0',
      seed_date: local(account.createdAt).slice(0, 10),
      end_date: account.frozen ? local(account.updatedAt).slice(0, 10) : '',
      ModifyDate: local(account.updatedAt),
      timestamp: Number(versionOf('erpAccounts', account.cardCode)),
    })

  const item = (one: ErpItem): Row =>
    given({
      code: one.code,
      name: one.name,
      specs: one.foreignName,
      barcode: one.barcode,
      sort_code: String(one.group),
      sort_name: `存货类${one.group}`,
      ccomunitname: one.unit,
      // This company quotes with tax.
      ref_sale_price: new Big(one.price).times(new Big(100).plus(TAX_PERCENT)).div(100).toString(),
      tax_rate: TAX_PERCENT,
      start_date: local(one.createdAt),
      end_date: one.active ? '' : local(one.updatedAt),
      ModifyDate: local(one.updatedAt),
      timestamp: Number(versionOf('erpItems', one.code)),
    })

  const stockRows = (): Row[] =>
    world.all('erpStock').flatMap((stock) => {
      const available = new Big(stock.inStock).minus(stock.committed).toString()
      const row = (figures: Row): Row =>
        given({
          whcode: stock.warehouse,
          whname: world.get('erpWarehouses', stock.warehouse)?.name,
          invcode: stock.item,
          invname: world.get('erpItems', stock.item)?.name,
          unitname: world.get('erpItems', stock.item)?.unit,
          ...figures,
        })
      if (!options.batches) {
        const { inStock, committed, ordered } = stock
        return [row({ qty: inStock, outqty: committed, inqty: ordered, availableqty: available })]
      }
      const older = new Big(stock.inStock).div(2).round(0, Big.roundDown)
      const newer = new Big(stock.inStock).minus(older).toString()
      return [
        row({
          batch: 'B1',
          qty: older.toString(),
          outqty: stock.committed,
          inqty: '0',
          availableqty: available,
        }),
        row({ batch: 'B2', qty: newer, outqty: '0', inqty: stock.ordered, availableqty: '0' }),
      ]
    })

  const head = (order: ErpOrder): Row => {
    const isClosed = order.cancelled || Boolean(order.userFields.closer)
    const defines = Object.fromEntries(TEXT_DEFINES.map((name) => [name, order.userFields[name]]))
    return given({
      code: codeOf(order),
      date: order.docDate,
      businesstype: order.userFields.businesstype ?? '普通销售',
      typecode: '01',
      typename: '内销',
      state: isClosed ? 'Closed' : order.confirmed ? 'Approved' : 'Opening',
      custcode: order.cardCode,
      cusname: order.cardName,
      cusabbname: order.cardName.slice(0, 20),
      deptcode: order.userFields.deptcode ?? '01',
      deptname: '销售部',
      dpredatebt: order.dueDate,
      memo: order.comments,
      maker: order.userFields.maker ?? MAKER,
      verifier: order.confirmed ? MAKER : '',
      verifysystime: order.confirmed ? local(order.createdAt) : '',
      sendaddress: order.userFields.sendaddress ?? world.get('erpAccounts', order.cardCode)?.street,
      ccusperson: order.userFields.ccusperson,
      closer: isClosed ? MAKER : '',
      ...defines,
      // The customer's own reference: the free field that this company uses for it.
      define1: order.numAtCard ?? order.userFields.define1,
      fhstatus: shippedOf(order),
      createsystime: local(order.createdAt),
      ...(options.orderCurrency === false
        ? {}
        : { cexch_name: CURRENCY_NAMES[order.currency] ?? order.currency, iexchrate: order.rate }),
      timestamp: Number(versionOf('erpOrders', String(order.docEntry))),
    })
  }
  const totals = (order: ErpOrder): Row => ({
    money: new Big(order.gross).minus(order.tax).toString(),
    sum: order.gross,
  })

  const entry = (order: ErpOrder, line: ErpOrderLine, index: number): Row => {
    const withTax = (net: string) => new Big(net).times(new Big(100).plus(TAX_PERCENT)).div(100)
    return given({
      rowno: index + 1,
      inventorycode: line.item,
      inventoryname: line.description,
      unitname: world.get('erpItems', line.item)?.unit,
      quantity: line.quantity,
      quotedprice: withTax(line.unitPrice).toString(),
      unitprice: line.price,
      taxunitprice: withTax(line.price).toString(),
      taxrate: line.taxPercent,
      discountrate: new Big(100).minus(line.discountPercent).toString(),
      money: line.total,
      tax: new Big(withTax(line.total).toFixed(2)).minus(line.total).toString(),
      sum: withTax(line.total).toFixed(2),
      natmoney: line.companyTotal,
      natsum: withTax(line.companyTotal).toFixed(2),
      bgift: '0',
      ...Object.fromEntries(
        Object.entries(order.userFields).flatMap(([name, value]) => {
          const [at, own] = name.split('.')
          return own !== undefined && at === `entry${index}` ? [[own, value]] : []
        }),
      ),
    })
  }

  const list = (property: string, rows: () => Row[], filter: Filter) => (query: URLSearchParams) => {
    const own = new URLSearchParams(query)
    const page = whole(own, 'page_index', 1)
    const size = Math.min(whole(own, 'rows_per_page', 20), options.maxRows ?? 1000)
    let found = rows()
    for (const [name, value] of own) {
      const test = filter[name]
      if (!test) throw new Refusal('40003', `参数错误: ${name}`)
      found = found.filter((row) => test(row, value))
    }
    return {
      page_index: String(page),
      rows_per_page: String(size),
      row_count: found.length,
      page_count: Math.ceil(found.length / size),
      [property]: found.slice((page - 1) * size, page * size),
    }
  }

  const one = (property: string, find: (id: string) => Row | undefined) => (query: URLSearchParams) => {
    const id = query.get('id')
    if (!id || [...query.keys()].length !== 1) throw new Refusal('40003', '参数错误: id')
    const row = find(id)
    if (!row) throw new Refusal('20003', '没有符合条件的数据')
    return { [property]: row }
  }
  /** The server's collation knows no case. */
  const byCode = <T>(all: T[], keyOf: (one: T) => string, id: string): T | undefined =>
    all.find((one) => fold(keyOf(one)) === fold(id))

  const reads: Readonly<Record<string, (query: URLSearchParams) => Row>> = {
    '/api/customer/get': one('customer', (id) => {
      const found = byCode(world.all('erpAccounts'), (account) => account.cardCode, id)
      return found && customer(found)
    }),
    '/api/customer/batch_get': list(
      'customer',
      () => world.all('erpAccounts').map(customer),
      CUSTOMER_FILTER,
    ),
    '/api/inventory/get': one('inventory', (id) => {
      const found = byCode(world.all('erpItems'), (each) => each.code, id)
      return found && item(found)
    }),
    '/api/inventory/batch_get': list('inventory', () => world.all('erpItems').map(item), ITEM_FILTER),
    '/api/warehouse/get': one('warehouse', (id) => {
      const found = byCode(world.all('erpWarehouses'), (each) => each.code, id)
      return found && { ...found }
    }),
    '/api/warehouse/batch_get': list(
      'warehouse',
      () => world.all('erpWarehouses').map((each) => ({ ...each })),
      WAREHOUSE_FILTER,
    ),
    '/api/currentstock/batch_get': list('currentstock', stockRows, STOCK_FILTER),
    '/api/saleorderlist/batch_get': list(
      'saleorderlist',
      () => world.all('erpOrders').map((order) => ({ ...head(order), ...totals(order) })),
      ORDER_FILTER,
    ),
    '/api/saleorder/get': one('saleorder', (id) => {
      const order = orderOf(id)
      return (
        order && {
          ...head(order),
          ...(options.wholeHeads ? totals(order) : {}),
          entry: order.lines.map((line, index) => entry(order, line, index)),
        }
      )
    }),
  }

  const writes: Readonly<Record<string, Write>> = {
    '/api/saleorder/add': {
      check: checkNewOrder,
      work: (voucher) => codeOf(addOrder(world, voucher)),
    },
    '/api/saleorder/verify': {
      check: checkVoucherCode,
      work(voucher) {
        const order = known(orderOf(String(voucher.voucher_code)))
        if (order.cancelled || order.userFields.closer) throw new Refusal('-1', '单据已关闭，不能审核')
        if (order.confirmed) throw new Refusal('-1', '单据已审核')
        changeOrder(world, order, { confirmed: true })
        return codeOf(order)
      },
    },
    '/api/saleorder/close': {
      check: checkVoucherCode,
      work(voucher) {
        const order = known(orderOf(String(voucher.voucher_code)))
        if (order.cancelled || order.userFields.closer) throw new Refusal('-1', '单据已关闭')
        if (shippedOf(order) === '0') {
          cancelOrder(world, order)
        } else {
          for (const line of order.lines) {
            moveStock(world, line.item, line.warehouse, {
              committed: new Big(line.open).times(-1).toString(),
            })
          }
          changeOrder(world, order, { closed: true, userFields: { ...order.userFields, closer: MAKER } })
        }
        return codeOf(order)
      },
    },
  }

  const TABLE_COLUMNS = new Set(['cCusCode', 'cCusName', 'cTaxNumber'])
  const tableRow = (account: ErpAccount): Row => ({
    cCusCode: account.cardCode,
    cCusName: account.name,
    cCusDefine1: '',
    cCusDefine2: account.phone,
    cCusDefine3: account.email,
    cCusAddress: account.street,
    cCusCity: account.city,
    cCusPostCode: account.zip,
    cTaxNumber: account.taxNumber,
    iCreditLimit: Number(account.creditLimit),
    cPaymentTerms: account.paymentTerms.name,
    dCreateDate: local(account.createdAt),
    dModifyDate: local(account.updatedAt),
    bCusState: !account.frozen,
  })

  return {
    reads,
    writes,
    stop,
    table(body: Row, accountNumber: string): Row {
      const { page, pageSize, condition } = body
      for (const name of Object.keys(body)) {
        if (!['accountNumber', 'page', 'pageSize', 'condition'].includes(name)) {
          throw new Refusal('40003', `参数错误: ${name}`)
        }
      }
      if (body.accountNumber !== accountNumber) throw new Refusal('10004', '账套号错误')
      if (!isCount(page) || !isCount(pageSize) || !isObject(condition)) throw new Refusal('40003', '参数错误')
      let rows = world.all('erpAccounts').map(tableRow)
      for (const [name, value] of Object.entries(condition)) {
        if (!TABLE_COLUMNS.has(name)) throw new Refusal('40003', `参数错误: condition.${name}`)
        rows = rows.filter((row) => fold(row[name]) === fold(value))
      }
      return { data: rows.slice((page - 1) * pageSize, page * pageSize) }
    },
  }
}

const isCount = (value: unknown): value is number => Number.isInteger(value) && Number(value) > 0

/** People's number of an order, ten digits as U8 counts them. */
const codeOf = (order: ErpOrder): string => String(order.docNum).padStart(10, '0')

/** `2026-06-18 17:00:00.0`, the server's wall clock. */
const local = (time: string): string =>
  `${new Date(Date.parse(time) + OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ')}.0`

/** The gateway leaves out what is empty. */
const given = (row: Row): Row =>
  Object.fromEntries(
    Object.entries(row).filter(([, value]) => value !== '' && value !== null && value !== undefined),
  )

/** 0 nothing, 1 part, 2 everything has been shipped. */
function shippedOf(order: ErpOrder): string {
  const shipped = order.lines.map((line) => new Big(line.quantity).minus(line.open))
  if (shipped.every((quantity) => quantity.eq(0))) return '0'
  return order.lines.every((line) => new Big(line.open).eq(0)) ? '2' : '1'
}

function known(order: ErpOrder | undefined): ErpOrder {
  if (!order) throw new Refusal('-1', '单据不存在')
  return order
}

/** Takes a whole number out of the query. */
function whole(query: URLSearchParams, name: string, standard: number): number {
  const text = query.get(name)
  query.delete(name)
  if (text === null) return standard
  if (!/^[1-9]\d{0,6}$/.test(text)) throw new Refusal('40003', `参数错误: ${name}`)
  return Number(text)
}

/* ---- new orders ---- */

const HEAD_FIELDS = new Set([
  ...'date businesstype typecode custcode deptcode personcode dpredatebt dpremodatebt taxrate memo maker'.split(
    ' ',
  ),
  ...'sendaddress ccusperson cexch_name entry'.split(' '),
  ...TEXT_DEFINES,
])
const LINE_FIELDS = new Set([
  ...'rowno inventorycode quantity unitprice taxunitprice quotedprice discountrate taxrate bgift'.split(' '),
  ...[22, 23, 24, 25, 28, 29, 30, 31, 32, 33].map((n) => `define${n}`),
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((n) => `free${n}`),
])
const LONGEST: Readonly<Record<string, number>> = {
  define1: 20,
  define2: 20,
  define3: 20,
  define8: 4,
  define9: 8,
  define10: 60,
  maker: 20,
  memo: 255,
}

const isNumber = (value: unknown): boolean => /^\d+(\.\d+)?$/.test(String(value ?? ''))
const isDay = (value: unknown): boolean =>
  /^\d{4}-\d\d-\d\d$/.test(String(value)) && !Number.isNaN(Date.parse(String(value)))

function checkVoucherCode(voucher: Row): void {
  const names = Object.keys(voucher)
  if (names.length !== 1 || typeof voucher.voucher_code !== 'string') {
    throw new Refusal('40003', '参数错误: voucher_code')
  }
}

function checkNewOrder(voucher: Row): void {
  const wrong = (name: string) => new Refusal('40003', `参数错误: ${name}`)
  for (const name of Object.keys(voucher)) if (!HEAD_FIELDS.has(name)) throw wrong(name)
  for (const name of ['businesstype', 'typecode', 'custcode', 'deptcode']) {
    if (typeof voucher[name] !== 'string' || voucher[name] === '') throw wrong(name)
  }
  for (const name of ['date', 'dpredatebt']) {
    if (voucher[name] !== undefined && !isDay(voucher[name])) throw wrong(name)
  }
  if (voucher.taxrate !== undefined && !isNumber(voucher.taxrate)) throw wrong('taxrate')
  const { entry } = voucher
  if (!Array.isArray(entry) || entry.length === 0) throw wrong('entry')
  for (const line of entry) {
    if (!isObject(line)) throw wrong('entry')
    for (const name of Object.keys(line)) if (!LINE_FIELDS.has(name)) throw wrong(`entry.${name}`)
    if (typeof line.inventorycode !== 'string') throw wrong('entry.inventorycode')
    for (const name of ['rowno', 'quantity', 'bgift']) if (!isNumber(line[name])) throw wrong(`entry.${name}`)
    for (const name of ['unitprice', 'discountrate']) {
      if (line[name] !== undefined && !isNumber(line[name])) throw wrong(`entry.${name}`)
    }
  }
}

function addOrder(world: World, voucher: Row): ErpOrder {
  const text = (name: string) => (typeof voucher[name] === 'string' ? (voucher[name] as string) : undefined)
  const account = world.get('erpAccounts', text('custcode') ?? '')
  if (!account) throw new Refusal('-1', `客户编码[${text('custcode')}]不存在`)
  if (account.frozen) throw new Refusal('-1', `客户[${account.name}]已停用`)
  if (!DEPARTMENTS.has(text('deptcode') ?? '')) throw new Refusal('-1', `部门编码[${text('deptcode')}]不存在`)
  if (!SALE_TYPES.has(text('typecode') ?? '')) throw new Refusal('-1', `销售类型[${text('typecode')}]不存在`)
  if (!BUSINESS_TYPES.has(text('businesstype') ?? '')) throw new Refusal('-1', '业务类型不正确')
  for (const [name, longest] of Object.entries(LONGEST)) {
    if ((text(name) ?? '').length > longest) throw new Refusal('-1', `${name} 长度超过 ${longest}`)
  }
  const currency = Object.entries(CURRENCY_NAMES).find(([, name]) => name === text('cexch_name'))?.[0]
  if (text('cexch_name') !== undefined && currency === undefined) throw new Refusal('-1', '币种不存在')
  const lines = voucher.entry as Row[]
  const today = local(new Date().toISOString()).slice(0, 10)
  const userFields: Record<string, string | null> = {}
  for (const name of [...TEXT_DEFINES, 'maker', 'deptcode', 'businesstype', 'sendaddress', 'ccusperson']) {
    const value = text(name)
    if (value !== undefined && value !== '') userFields[name] = value
  }
  lines.forEach((line, index) => {
    for (const [name, value] of Object.entries(line)) {
      if (/^(define|free)\d/.test(name)) userFields[`entry${index}.${name}`] = String(value)
    }
  })
  return placeOrder(world, {
    cardCode: account.cardCode,
    currency: currency ?? account.currency,
    docDate: text('date') ?? today,
    dueDate: text('dpredatebt') ?? text('date') ?? today,
    numAtCard: text('define1') ?? null,
    comments: text('memo') ?? null,
    confirmed: false,
    userFields,
    lines: lines.map((line, index) => {
      const code = String(line.inventorycode)
      const item = world.get('erpItems', code)
      if (!item) throw new Refusal('-1', `第${index + 1}行存货编码[${code}]不存在`)
      if (!item.active) throw new Refusal('-1', `第${index + 1}行存货[${item.name}]已停用`)
      if (new Big(String(line.quantity)).lte(0)) throw new Refusal('-1', `第${index + 1}行数量必须大于零`)
      const rate = line.discountrate === undefined ? '100' : String(line.discountrate)
      if (new Big(rate).lte(0)) throw new Refusal('-1', `第${index + 1}行扣率不正确`)
      return {
        item: code,
        quantity: String(line.quantity),
        warehouse: DEFAULT_WAREHOUSE,
        discountPercent: new Big(100).minus(rate).toString(),
        // unitprice is the net price after discount; the world keeps the one before it.
        ...(line.unitprice === undefined
          ? {}
          : { price: new Big(String(line.unitprice)).times(100).div(rate).toString() }),
      }
    }),
  })
}
