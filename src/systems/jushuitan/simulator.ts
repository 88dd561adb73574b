/**
 * The open platform as a strict vendor would run it: it recomputes the signature over what arrived, looks at the
 * clock and the token, counts calls, refuses unknown parameters, spans that are too wide and pages that are too
 * long, and keeps a row version. Shares no code with the adapter.
 */
import { createHash, randomBytes } from 'node:crypto'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { cancelShopOrder, placeShopOrder, SHOP_WAREHOUSES, shopOrderOf } from '../../simulation/shops.ts'
import type { ShopOrder, World } from '../../simulation/world.ts'

export interface JushuitanSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly appKey?: string
  readonly appSecret: string
  readonly shop?: string
  /** Life of a token in seconds. Default 2592000: thirty days. */
  readonly expiresIn?: number
  /** Calls in a minute; more are refused. Default: any number. */
  readonly perMinute?: number
  /** Longest page of orders and goods. Default 50. */
  readonly pageSize?: number
}

export interface JushuitanSimulator extends Simulator {
  /** Ends every token that was ever given out. */
  expireTokens(): void
  /** Ends the refresh tokens too, as when another process has refreshed. */
  forgetGrants(): void
}

/** A refusal, inside HTTP 200. */
class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

type Fields = Readonly<Record<string, unknown>>

const STATUS: Readonly<Record<ShopOrder['status'], string>> = {
  UNPAID: 'WaitPay',
  PAID: 'WaitConfirm',
  PICKING: 'Delivering',
  SENT: 'Sent',
  CANCELLED: 'Cancelled',
}
const UPLOAD_FIELDS = new Set(
  [
    'shop_id so_id order_date shop_status shop_buyer_id receiver_state receiver_city receiver_district',
    'receiver_address receiver_name receiver_phone pay_amount freight remark buyer_message outer_so_id',
    'plan_delivery_date items pay',
  ].flatMap((line) => line.split(' ')),
)
const REQUIRED = [
  'shop_id',
  'so_id',
  'order_date',
  'shop_status',
  'shop_buyer_id',
  'pay_amount',
  'freight',
  'items',
]
const RECEIVER = ['receiver_state', 'receiver_city', 'receiver_address', 'receiver_name', 'receiver_phone']
const CLOCK_SLACK_SECONDS = 600
const CHINA_MS = 8 * 3_600_000
const WEEK_MS = 7 * 86_400_000

export async function startJushuitanSimulator(
  world: World,
  options: JushuitanSimulatorOptions,
): Promise<JushuitanSimulator> {
  const appKey = options.appKey ?? 'jst-demo'
  const shop = options.shop ?? '10087'
  const expiresIn = options.expiresIn ?? 2_592_000
  const pageSize = options.pageSize ?? 50
  const access = new Map<string, number>()
  let refresh = new Set<string>()
  let arrivals: number[] = []

  /** Every change of an order gets the next version, as `ts`. */
  const versions = new Map<string, number>()
  let version = 500_000
  for (const order of world.all('shopOrders')) versions.set(order.orderId, ++version)
  const stopListening = world.onChange(({ collection, entity }) => {
    if (collection === 'shopOrders') versions.set((entity as ShopOrder).orderId, ++version)
  })

  const signed = (form: URLSearchParams): Record<string, string> => {
    const given: Record<string, string> = {}
    for (const [name, value] of form) {
      if (name in given) throw new Refusal(40, `参数${name}重复`)
      if (value === '') throw new Refusal(40, `参数${name}不能为空`)
      given[name] = value
    }
    const hash = createHash('md5').update(options.appSecret, 'utf8')
    for (const name of Object.keys(given).sort()) {
      if (name !== 'sign') hash.update(name, 'utf8').update(given[name] ?? '', 'utf8')
    }
    if (given.app_key !== appKey) throw new Refusal(11, 'app_key不存在')
    if (hash.digest('hex') !== given.sign) throw new Refusal(12, '签名错误')
    const stamp = Number(given.timestamp)
    if (!Number.isInteger(stamp) || Math.abs(stamp - Date.now() / 1000) > CLOCK_SLACK_SECONDS) {
      throw new Refusal(13, '时间戳无效')
    }
    return given
  }

  const newToken = (): Fields => {
    const token = `at-${randomBytes(16).toString('hex')}`
    const grant = `rt-${randomBytes(16).toString('hex')}`
    access.set(token, Date.now() + expiresIn * 1000)
    refresh.add(grant)
    return { access_token: token, refresh_token: grant, expires_in: expiresIn, scope: 'all' }
  }

  const authorise = (path: string, given: Readonly<Record<string, string>>): Fields => {
    if (path === '/openWeb/auth/getInitToken') {
      only(given, ['app_key', 'timestamp', 'charset', 'sign', 'grant_type', 'code'])
      if (given.grant_type !== 'authorization_code') throw new Refusal(40, 'grant_type错误')
      if (given.code?.length !== 6) throw new Refusal(40, 'code必须为6位')
      return newToken()
    }
    only(given, ['app_key', 'timestamp', 'charset', 'sign', 'grant_type', 'scope', 'refresh_token'])
    if (given.grant_type !== 'refresh_token' || given.scope !== 'all') throw new Refusal(40, 'grant_type错误')
    if (!refresh.delete(given.refresh_token ?? '')) throw new Refusal(14, 'refresh_token无效')
    return newToken()
  }

  const inside = (given: Readonly<Record<string, string>>): unknown => {
    only(given, ['app_key', 'timestamp', 'charset', 'sign', 'access_token', 'version', 'biz'])
    if (given.charset !== 'utf-8' || given.version !== '2') throw new Refusal(40, 'charset或version错误')
    const ends = access.get(given.access_token ?? '')
    if (ends === undefined || ends < Date.now()) throw new Refusal(100, 'access_token已过期，请重新授权')
    try {
      return JSON.parse(given.biz ?? '')
    } catch {
      throw new Refusal(40, 'biz不是合法的json')
    }
  }

  /* ---- reading ---- */

  const shown = (order: ShopOrder): Fields => ({
    o_id: number(order.orderId),
    so_id: order.platformNumber,
    shop_id: number(order.shop),
    shop_name: '官方旗舰店',
    shop_site: '商家自有商城',
    type: '普通订单',
    creator_name: '',
    question_type: '',
    question_desc: '',
    pay_date: order.status === 'UNPAID' ? '' : local(order.orderedAt),
    paid_amount: order.status === 'UNPAID' ? 0 : number(order.pay),
    pays:
      order.status === 'UNPAID'
        ? []
        : [
            {
              payment: payments.get(order.orderId) ?? '支付宝',
              pay_date: local(order.orderedAt),
              amount: number(order.pay),
            },
          ],
    shop_buyer_id: order.buyer,
    status: STATUS[order.status],
    order_date: local(order.orderedAt),
    created: local(order.createdAt),
    modified: local(order.updatedAt),
    send_date: order.sentAt === null ? '' : local(order.sentAt),
    receiver_name: order.receiver.name,
    receiver_state: order.receiver.province,
    receiver_city: order.receiver.city,
    receiver_district: order.receiver.district,
    receiver_address: order.receiver.address,
    receiver_phone: order.receiver.phone,
    pay_amount: number(order.pay),
    freight: number(order.freight),
    free_amount: number(order.discount),
    currency: order.currency,
    remark: order.remark ?? '',
    outer_so_id: outerNumbers.get(order.orderId) ?? '',
    wms_co_id: number(order.warehouse),
    l_id: order.waybill?.number ?? '',
    lc_id: order.waybill?.carrier ?? '',
    logistics_company: order.waybill?.carrierName ?? '',
    ts: versions.get(order.orderId),
    items: order.lines.map((line) => ({
      oi_id: number(line.lineId),
      sku_id: line.item,
      name: line.name,
      qty: number(line.quantity),
      price: number(line.price),
      amount: number(line.amount),
      refund_qty: 0,
    })),
  })
  const outerNumbers = new Map<string, string>()
  const payments = new Map<string, string>()

  const orders = (biz: Fields): Fields => {
    only(
      biz,
      'modified_begin modified_end o_ids so_ids shop_id status page_index page_size start_ts is_get_total'.split(
        ' ',
      ),
    )
    const all = world.all('shopOrders').filter((order) => order.shop === shop)
    const { o_ids: ids, so_ids: numbers, start_ts: since } = biz
    if (since !== undefined) {
      if (biz.is_get_total !== false) throw new Refusal(50, 'start_ts需要is_get_total=false')
      if (!/^\d+$/.test(String(since))) throw new Refusal(50, 'start_ts错误')
      const newer = all.filter((order) => (versions.get(order.orderId) ?? 0) >= Number(since))
      newer.sort((a, b) => (versions.get(a.orderId) ?? 0) - (versions.get(b.orderId) ?? 0))
      const {
        data_count: _count,
        page_count: _pages,
        ...rest
      } = paged(newer.map(shown), 'orders', biz, pageSize)
      return rest
    }
    if (ids !== undefined || numbers !== undefined) {
      const list = ids ?? numbers
      if (!Array.isArray(list) || list.length === 0 || list.length > 20) {
        throw new Refusal(50, 'o_ids或so_ids数量必须为1-20')
      }
      const wanted = new Set(list.map(String))
      const found = all.filter((order) => wanted.has(ids ? order.orderId : order.platformNumber))
      return paged(found.map(shown), 'orders', biz, pageSize)
    }
    const within = span(biz)
    const found = all.filter((order) => within(order.updatedAt))
    return paged(newestFirst(found).map(shown), 'orders', biz, pageSize)
  }

  const stock = (biz: Fields): Fields => {
    only(biz, 'wms_co_id sku_ids modified_begin modified_end page_index page_size'.split(' '))
    const warehouse = Number(biz.wms_co_id ?? 0)
    const skus = skuFilter(biz)
    const within = skus ? () => true : span(biz)
    const rows = world.all('shopStock').filter(({ item }) => !skus || skus.has(item))
    const places = new Map<string, { qty: Big; locked: Big; incoming: Big; at: string }>()
    for (const row of rows) {
      if (warehouse !== 0 && row.warehouse !== String(warehouse)) continue
      const before = places.get(row.item) ?? {
        qty: new Big(0),
        locked: new Big(0),
        incoming: new Big(0),
        at: '',
      }
      places.set(row.item, {
        qty: before.qty.plus(row.onHand),
        locked: before.locked.plus(row.locked),
        incoming: before.incoming.plus(row.incoming),
        at: row.updatedAt > before.at ? row.updatedAt : before.at,
      })
    }
    const found = [...places]
      .filter(([, place]) => within(place.at))
      .map(([item, place]) => ({
        sku_id: item,
        name: world.get('erpItems', item)?.name ?? '',
        qty: number(place.qty.toFixed()),
        order_lock: number(place.locked.toFixed()),
        pick_lock: 0,
        virtual_qty: 0,
        purchase_qty: number(place.incoming.toFixed()),
        modified: local(place.at),
      }))
    return paged(found, 'inventorys', biz, 100)
  }

  const goods = (biz: Fields): Fields => {
    only(biz, 'sku_ids modified_begin modified_end page_index page_size'.split(' '))
    const skus = skuFilter(biz)
    const within = skus ? () => true : span(biz)
    const found = world
      .all('erpItems')
      .filter((item) => (!skus || skus.has(item.code)) && within(item.updatedAt))
      .map((item) => ({
        sku_id: item.code,
        name: item.name,
        sku_code: item.barcode,
        unit: item.unit,
        properties_value: item.foreignName,
        c_id: item.group,
        category: `类目${item.group}`,
        sale_price: number(new Big(item.price).times('1.13').toFixed(2)),
        cost_price: number(new Big(item.price).times('0.6').toFixed(2)),
        pic: `https://img.example/${item.code}.jpg`,
        labels: '',
        enabled: item.active ? 1 : 0,
        created: local(item.createdAt),
        modified: local(item.updatedAt),
      }))
    return paged(found, 'datas', biz, pageSize)
  }

  /* ---- writing ---- */

  const upload = (biz: unknown): Fields => {
    if (!Array.isArray(biz) || biz.length === 0 || biz.length > 50)
      throw new Refusal(50, '订单数量必须为1-50')
    return { datas: biz.map(uploadOne) }
  }

  const uploadOne = (given: Fields): Fields => {
    const no = (msg: string) => ({ so_id: given.so_id, issuccess: false, msg })
    const strange = Object.keys(given).find((name) => !UPLOAD_FIELDS.has(name))
    if (strange !== undefined) return no(`未知字段${strange}`)
    const missing = [...REQUIRED, ...RECEIVER].find((name) => given[name] === undefined || given[name] === '')
    if (missing !== undefined) return no(`${missing}不能为空`)
    if (String(given.shop_id) !== shop) return no(`店铺编号${given.shop_id}不存在`)
    if (typeof given.so_id !== 'string' || given.so_id.length > 50) return no('线上单号长度不能超过50')
    const items = given.items as readonly Fields[]
    if (!Array.isArray(items) || items.length === 0) return no('商品明细不能为空')
    for (const item of items) {
      for (const name of ['sku_id', 'shop_sku_id', 'name', 'qty', 'base_price', 'amount', 'outer_oi_id']) {
        if (item[name] === undefined || item[name] === '') return no(`商品明细${name}不能为空`)
      }
      if (!world.get('erpItems', String(item.sku_id))) return no(`商品编码${item.sku_id}不存在`)
      if (!Number.isInteger(item.qty)) return no(`商品${item.sku_id}数量必须为整数`)
    }
    const sum = items.reduce((total, item) => total.plus(Number(item.amount)), new Big(Number(given.freight)))
    if (!sum.eq(Number(given.pay_amount))) return no(`应付金额${given.pay_amount}与明细合计${sum}不符`)
    const known = shopOrderOf(world, shop, given.so_id)
    if (known) return { o_id: number(known.orderId), so_id: given.so_id, issuccess: true, msg: '更新成功' }
    const order = placeShopOrder(world, {
      shop,
      platformNumber: given.so_id,
      buyer: String(given.shop_buyer_id),
      receiver: {
        name: String(given.receiver_name),
        phone: String(given.receiver_phone),
        province: String(given.receiver_state),
        city: String(given.receiver_city),
        district: String(given.receiver_district ?? ''),
        address: String(given.receiver_address),
      },
      warehouse: SHOP_WAREHOUSES[0].code,
      remark: typeof given.remark === 'string' ? given.remark : null,
      orderedAt: new Date(Date.parse(`${String(given.order_date).replace(' ', 'T')}+08:00`)).toISOString(),
      freight: new Big(Number(given.freight)).toFixed(2),
      lines: items.map((item) => ({
        item: String(item.sku_id),
        name: world.get('erpItems', String(item.sku_id))?.name ?? '',
        quantity: String(item.qty),
        price: new Big(Number(item.base_price)).toFixed(),
        amount: new Big(Number(item.amount)).toFixed(2),
      })),
    })
    const { payment } = given.pay as Fields
    if (typeof payment === 'string') payments.set(order.orderId, payment)
    if (typeof given.outer_so_id === 'string') outerNumbers.set(order.orderId, given.outer_so_id)
    return { o_id: number(order.orderId), so_id: given.so_id, issuccess: true, msg: '' }
  }

  const cancel = (biz: Fields): Fields => {
    only(biz, ['o_ids', 'cancel_type', 'remark'])
    if (!Array.isArray(biz.o_ids) || typeof biz.cancel_type !== 'string')
      throw new Refusal(50, 'o_ids或cancel_type错误')
    const datas = biz.o_ids.map((id) => {
      const order = world.get('shopOrders', String(id))
      if (!order || order.shop !== shop) return { o_id: id, issuccess: false, msg: '订单不存在' }
      if (order.status === 'SENT') return { o_id: id, issuccess: false, msg: '订单已发货，不能取消' }
      if (order.status !== 'CANCELLED') cancelShopOrder(world, order)
      return { o_id: id, issuccess: true, msg: '' }
    })
    return { datas }
  }

  const shops = (biz: Fields): Fields => {
    only(biz, ['page_index', 'page_size', 'shop_ids'])
    return paged(
      [{ shop_id: number(shop), shop_name: '官方旗舰店', shop_site: '商家自有商城' }],
      'datas',
      biz,
      100,
    )
  }
  const partners = (biz: Fields): Fields => {
    only(biz, ['page_index', 'page_size'])
    const rows = SHOP_WAREHOUSES.map(({ code, name }, at) => ({
      name,
      co_id: 10_001,
      wms_co_id: number(code),
      is_main: at === 0,
      status: '生效',
    }))
    return paged(rows, 'datas', biz, 100)
  }

  const routes: Readonly<Record<string, (biz: never) => Fields>> = {
    '/open/orders/single/query': orders,
    '/open/inventory/query': stock,
    '/open/sku/query': goods,
    '/open/shops/query': shops,
    '/open/wms/partner/query': partners,
    '/open/jushuitan/orders/upload': upload,
    '/open/jushuitan/orderbyoid/cancel': cancel,
  }

  const serve = (request: SimulatedRequest): Fields => {
    if (request.method !== 'POST') throw new Refusal(40, '只支持POST')
    if (!/^application\/x-www-form-urlencoded/.test(request.headers['content-type'] ?? '')) {
      throw new Refusal(40, 'content-type错误')
    }
    if (request.rawQuery !== '') throw new Refusal(40, '参数必须在body中')
    const now = Date.now()
    arrivals = [...arrivals.filter((at) => at > now - 60_000), now]
    if (options.perMinute !== undefined && arrivals.length > options.perMinute) {
      throw new Refusal(200, '调用频率超过限制')
    }
    const given = signed(new URLSearchParams(request.body.toString('utf8')))
    if (/^\/openWeb\/auth\/(getInitToken|refreshToken)$/.test(request.path))
      return authorise(request.path, given)
    const biz = inside(given)
    const route = routes[request.path]
    if (!route) throw new Refusal(30, '接口不存在')
    return route(biz as never)
  }

  const server = await startSimulatorServer({
    ...(options.port ? { port: options.port } : {}),
    handle(request) {
      try {
        return answer({ code: 0, msg: '', data: serve(request) })
      } catch (error) {
        if (error instanceof Refusal) return answer({ code: error.code, msg: error.message, data: null })
        throw error
      }
    },
  })
  return {
    url: server.url,
    get calls() {
      return server.calls
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    expireTokens: () => access.clear(),
    forgetGrants: () => {
      refresh = new Set()
    },
    async close() {
      stopListening()
      await server.close()
    },
  }
}

const answer = (body: Fields): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json; charset=utf-8' },
  body: JSON.stringify(body),
})

/** A JSON number with the digits that the world keeps. */
const number = (text: string): unknown => (JSON as unknown as { rawJSON(text: string): object }).rawJSON(text)

/** `2026-06-25 10:00:00`, in China. */
const local = (iso: string): string =>
  new Date(Date.parse(iso) + CHINA_MS).toISOString().slice(0, 19).replace('T', ' ')

function only(given: Fields, names: readonly string[]): void {
  const strange = Object.keys(given).find((name) => !names.includes(name))
  if (strange !== undefined) throw new Refusal(40, `未知参数${strange}`)
}

const TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/

/** Both ends belong to it. */
function span({ modified_begin: begin, modified_end: end }: Fields): (iso: string) => boolean {
  if (typeof begin !== 'string' || typeof end !== 'string')
    throw new Refusal(170, '修改时间和单号不能同时为空')
  if (!TIME.test(begin) || !TIME.test(end) || begin > end) throw new Refusal(50, '修改时间格式错误')
  const width = Date.parse(`${end.replace(' ', 'T')}Z`) - Date.parse(`${begin.replace(' ', 'T')}Z`)
  if (width > WEEK_MS) throw new Refusal(50, '修改时间间隔不能超过七天')
  return (iso) => begin <= local(iso) && local(iso) <= end
}

function skuFilter({ sku_ids: skus }: Fields): Set<string> | null {
  if (skus === undefined) return null
  const list = typeof skus === 'string' ? skus.split(',') : []
  if (list.length === 0 || list.length > 100 || list.includes(''))
    throw new Refusal(50, 'sku_ids数量必须为1-100')
  return new Set(list)
}

function paged(rows: readonly Fields[], list: string, biz: Fields, most: number): Fields {
  const { page_index: index = 1, page_size: size = 30 } = biz
  if (typeof index !== 'number' || typeof size !== 'number' || !Number.isInteger(index) || index < 1) {
    throw new Refusal(50, 'page_index从1开始')
  }
  if (!Number.isInteger(size) || size < 1 || size > most) throw new Refusal(50, `page_size最大${most}`)
  const pages = Math.ceil(rows.length / size)
  return {
    page_index: index,
    page_size: size,
    data_count: rows.length,
    page_count: pages,
    has_next: index < pages,
    [list]: rows.slice((index - 1) * size, index * size),
  }
}

const newestFirst = (orders: readonly ShopOrder[]): ShopOrder[] =>
  [...orders].sort((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1))
