/**
 * A seller on both editions, as a strict vendor would run it: signatures are recomputed from what arrived, clocks
 * looked at, unknown and empty parameters refused, windows and pages bounded; queues keep their entries until they
 * are acknowledged. What is pushed is a raw order until somebody hands it in. Shares no code with the adapter.
 */
import { createHash } from 'node:crypto'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import {
  cancelShopOrder,
  changeShopOrder,
  placeShopOrder,
  SHOP_WAREHOUSES,
  type ShopOrderDraft,
  shopOrderOf,
} from '../../simulation/shops.ts'
import type { ShopOrder, ShopStock, World } from '../../simulation/world.ts'

export interface WangdiantongSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly edition: 'enterprise' | 'flagship'
  readonly sid?: string
  readonly appKey?: string
  /** Of the flagship edition `SECRET:SALT`. */
  readonly appSecret: string
  readonly shop?: string
  /** Calls in a minute; more are refused. Default: any number. */
  readonly perMinute?: number
  /** Whether pushed orders wait until `handIn`. Default: they become orders at once. */
  readonly holdsRawOrders?: boolean
  /** Refuses every acknowledgement, item by item. */
  readonly keepsQueues?: boolean
  /** Goods whose stock cannot be calculated for the shop (flagship edition). */
  readonly unsynced?: readonly string[]
}

export interface WangdiantongSimulator extends Simulator {
  /** Makes orders of the raw orders. */
  handIn(): void
  /** Entries not yet acknowledged. */
  readonly waiting: { readonly logistics: number; readonly stock: number }
}

class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

type Fields = Readonly<Record<string, unknown>>

const STATUS: Readonly<Record<ShopOrder['status'], number>> = {
  UNPAID: 10,
  PAID: 30,
  PICKING: 55,
  SENT: 95,
  CANCELLED: 5,
}
/** The rule by which stock is told to a shop; what is acknowledged repeats it. */
const SYNC_RULE = {
  stock_syn_rule_id: -10000,
  stock_syn_rule_no: '',
  stock_syn_warehouses: '6,12',
  stock_syn_mask: 0,
  stock_syn_percent: 100,
  stock_syn_plus: 0,
  stock_syn_min: 0,
  stock_syn_max: 0,
  is_auto_listing: true,
  is_auto_delisting: true,
}
const SYNC_RESULT = ['stock_syn_other', 'is_syn_success', 'is_manual', 'syn_result']
const calculated = ({
  id,
  count,
  stock,
}: {
  readonly id: number
  readonly count: number
  readonly stock: Pick<ShopStock, 'item' | 'onHand'>
}): Fields => ({
  rec_id: id,
  match_code: stock.item,
  outer_id: '',
  spec_outer_id: stock.item,
  shop_id: 3,
  syn_stock: Number(stock.onHand),
  stock_change_count: count,
  ...SYNC_RULE,
})
const EPOCH_2012 = 1_325_347_200
const CHINA_MS = 8 * 3_600_000
const TIME = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/
const HOUR = 3_600_000
const MONTH = 30 * 24 * HOUR

export async function startWangdiantongSimulator(
  world: World,
  options: WangdiantongSimulatorOptions,
): Promise<WangdiantongSimulator> {
  const sid = options.sid ?? 'demo'
  const appKey = options.appKey ?? 'demo-ot'
  const shop = options.shop ?? 'web01'
  const isEnterprise = options.edition === 'enterprise'
  let arrivals: number[] = []
  const raw = new Map<string, ShopOrderDraft>()

  /* ---- queues ---- */

  let nextId = 100
  const logistics = new Map<number, ShopOrder>()
  const moved = new Map<string, { id: number; count: number; stock: ShopStock }>()
  const stopListening = world.onChange(({ collection, entity, before }) => {
    if (collection === 'shopOrders') {
      const order = entity as ShopOrder
      if (order.shop === shop && order.waybill && !(before as ShopOrder | undefined)?.waybill) {
        logistics.set(++nextId, order)
      }
    }
    if (collection === 'shopStock') {
      const stock = entity as ShopStock
      const known = moved.get(stock.item)
      moved.set(stock.item, { id: known?.id ?? ++nextId, count: (known?.count ?? 0) + 1, stock })
    }
  })

  const ackLogistics = (id: number): string | null => {
    if (options.keepsQueues || !logistics.delete(id)) return '非待同步状态,不可更新'
    return null
  }
  const ackStock = ({ rec_id: id, sync_stock: stock, stock_change_count: count }: Fields): string | null => {
    for (const [item, entry] of moved) {
      if (entry.id !== id) continue
      if (options.keepsQueues || String(stock) !== entry.stock.onHand) return '库存已变化'
      // Another change since: it stays, to be told again.
      if (entry.count === count) moved.delete(item)
      return null
    }
    return '记录不存在'
  }

  /* ---- what is shown ---- */

  const orders = (): ShopOrder[] =>
    world
      .all('shopOrders')
      .filter((order) => order.shop === shop)
      .sort((a, b) => (a.updatedAt < b.updatedAt ? -1 : 1))

  const shownOrder = (order: ShopOrder): Fields => {
    const lines = order.lines.map((line) => ({
      rec_id: line.lineId,
      spec_no: line.item,
      goods_no: line.item,
      goods_name: line.name,
      spec_name: '',
      num: four(line.quantity),
      actual_num: four(line.quantity),
      price: four(line.price),
      order_price: four(new Big(line.amount).div(line.quantity).toFixed(4)),
      share_amount: four(line.amount),
      refund_num: '0.0000',
      tax_rate: '0.1300',
      remark: '',
      src_tid: order.platformNumber,
      src_oid: `${order.platformNumber}-${order.lines.indexOf(line) + 1}`,
    }))
    return {
      trade_id: order.orderId,
      trade_no: tradeNo(order),
      src_tids: order.platformNumber,
      trade_status: isEnterprise ? String(STATUS[order.status]) : STATUS[order.status],
      shop_no: order.shop,
      warehouse_no: order.warehouse,
      buyer_nick: order.buyer,
      customer_no: `KH${order.orderId}`,
      receiver_name: order.receiver.name,
      receiver_mobile: order.receiver.phone,
      receiver_area: [order.receiver.province, order.receiver.city, order.receiver.district]
        .filter((part) => part !== '')
        .join(' '),
      receiver_zip: '',
      receiver_address: order.receiver.address,
      trade_type: isEnterprise ? '1' : 1,
      platform_id: isEnterprise ? '127' : 127,
      freeze_reason: isEnterprise ? '0' : 0,
      paid: order.status === 'UNPAID' ? '0.0000' : four(order.pay),
      goods_amount: four(order.pay),
      post_amount: four(order.freight),
      discount: four(order.discount),
      receivable: four(order.pay),
      tax: '0.0000',
      currency: order.currency === 'CNY' ? '' : order.currency,
      cs_remark: order.remark ?? '',
      buyer_message: messages.get(order.orderId) ?? '',
      logistics_no: order.waybill?.number ?? '',
      logistics_name: order.waybill?.carrierName ?? '',
      logistics_code: order.waybill?.carrier ?? '',
      stockout_no: order.status === 'SENT' ? `CK${order.orderId}` : '',
      version_id: isEnterprise ? String(order.revision) : order.revision,
      modified: local(order.updatedAt),
      ...(isEnterprise
        ? {
            trade_time: local(order.orderedAt),
            created: local(order.createdAt),
            pay_time: order.status === 'UNPAID' ? '0000-00-00 00:00:00' : local(order.orderedAt),
            consign_time: order.sentAt === null ? '0000-00-00 00:00:00' : local(order.sentAt),
            goods_list: lines,
          }
        : {
            trade_time: Date.parse(order.orderedAt),
            created: Date.parse(order.createdAt),
            ...(order.status === 'UNPAID' ? {} : { pay_time: Date.parse(order.orderedAt) }),
            ...(order.sentAt === null ? {} : { consign_time: Date.parse(order.sentAt) }),
            detail_list: lines,
          }),
    }
  }
  const messages = new Map<string, string>()

  const findOrders = (given: Fields): ShopOrder[] => {
    if (given.src_tid !== undefined) {
      const numbers = String(given.src_tid).split(',')
      return orders().filter(({ platformNumber }) => numbers.some((one) => platformNumber.startsWith(one)))
    }
    if (given.trade_no !== undefined) return orders().filter((order) => tradeNo(order) === given.trade_no)
    const within = span(given, HOUR, '60分钟')
    return orders().filter((order) => within(order.updatedAt))
  }

  const warehouses = (): Fields[] =>
    SHOP_WAREHOUSES.map(({ code, name }) => ({ warehouse_no: code, name, type: 1, is_disabled: 0 }))

  /* ---- pushing ---- */

  const take = (draft: ShopOrderDraft, isClosed: boolean): 'new' | 'changed' => {
    const { platformNumber: number } = draft
    const known = shopOrderOf(world, shop, number)
    if (known && isClosed) {
      // What has left goes on as a refund; what has not is cancelled.
      if (!['SENT', 'CANCELLED'].includes(known.status) && !options.holdsRawOrders)
        cancelShopOrder(world, known)
      return 'changed'
    }
    if (known) {
      changeShopOrder(world, known, { remark: draft.remark ?? null })
      return 'changed'
    }
    const isNew = !raw.has(number)
    raw.set(number, draft)
    if (!options.holdsRawOrders) handIn()
    return isNew ? 'new' : 'changed'
  }
  const handIn = () => {
    for (const [number, draft] of raw) {
      const order = placeShopOrder(world, draft)
      const message = pendingMessages.get(number)
      if (message !== undefined) messages.set(order.orderId, message)
    }
    raw.clear()
  }
  const pendingMessages = new Map<string, string>()

  /** @returns What is wrong, or the order. */
  const draftOf = (
    trade: Fields,
    details: readonly Fields[],
    receiver: ShopOrder['receiver'],
    remark: unknown,
  ): string | ShopOrderDraft => {
    if (typeof trade.tid !== 'string' || trade.tid === '' || trade.tid.length > 40)
      return 'tid不能为空且不超过40'
    for (const name of ['buyer_nick', 'receiver_name', 'receiver_address', 'receiver_mobile', 'trade_time']) {
      if (typeof trade[name] !== 'string' || trade[name] === '') return `${name}不能为空`
    }
    const isClosed = trade.trade_status === 80
    if (![30, 80].includes(trade.trade_status as number) || trade.delivery_term !== 1) return '订单状态错误'
    if (isClosed && details.some((item) => item.refund_status !== 5 || item.status !== 80)) {
      return '子订单退款状态与订单状态不符'
    }
    if (details.length === 0) return '货品明细不能为空'
    let sum = new Big(Number(trade.post_amount))
    const seen = new Set<unknown>()
    for (const item of details) {
      if (typeof item.oid !== 'string' || seen.has(item.oid)) return '子订单编号重复'
      seen.add(item.oid)
      if (!world.get('erpItems', String(item.spec_no))) return `商家编码${item.spec_no}不存在`
      if (!(Number(item.num) > 0)) return '货品数量必须大于0'
      sum = sum.plus(worth(item))
    }
    // Of what was paid back, nothing is owed any more.
    if (!isClosed && !sum.eq(Number(trade.paid))) return `已付金额${trade.paid}与应收${sum}不符`
    if (typeof trade.buyer_message === 'string') pendingMessages.set(trade.tid, trade.buyer_message)
    return {
      shop,
      platformNumber: trade.tid,
      buyer: String(trade.buyer_nick),
      receiver,
      warehouse: SHOP_WAREHOUSES[0].code,
      remark: typeof remark === 'string' ? remark : null,
      lines: details.map((item) => ({
        item: String(item.spec_no),
        name: world.get('erpItems', String(item.spec_no))?.name ?? '',
        quantity: new Big(Number(item.num)).toFixed(),
        price: new Big(Number(item.price)).toFixed(),
        amount: worth(item).toFixed(2),
      })),
    }
  }

  /* ---- the enterprise edition ---- */

  const enterprise = (method: string, given: Readonly<Record<string, string>>): Fields => {
    const paged = (rows: readonly Fields[], list: string): Fields => {
      const page = pageOf(given.page_no, given.page_size, 100)
      const shown = rows.slice(page.from, page.from + page.size)
      // Only the first page is counted.
      return { ...(page.from === 0 ? { total_count: String(rows.length) } : {}), [list]: shown }
    }
    const limited = () => {
      const limit = Number(given.limit)
      if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw new Refusal(1004, 'limit取值1~100')
      return limit
    }
    switch (method) {
      case 'trade_query':
        only(given, ['start_time', 'end_time', 'trade_no', 'src_tid', 'shop_no', 'page_no', 'page_size'])
        return paged(findOrders(given).map(shownOrder), 'trades')
      case 'stock_query': {
        only(given, ['start_time', 'end_time', 'spec_no', 'warehouse_no', 'page_no', 'page_size'])
        const within = given.spec_no === undefined ? span(given, MONTH, '30天') : () => true
        const rows = world
          .all('shopStock')
          .filter(({ item, updatedAt }) => (given.spec_no ?? item) === item && within(updatedAt))
        return paged(rows.map(shownStock), 'stocks')
      }
      case 'shop':
        only(given, ['page_no', 'page_size', 'shop_no'])
        return paged([{ shop_no: shop, shop_name: '自营商城', platform_id: '127' }], 'shoplist')
      case 'warehouse_query':
        only(given, ['page_no', 'page_size', 'warehouse_no'])
        return paged(warehouses(), 'warehouses')
      case 'logistics_sync_query': {
        only(given, ['limit', 'shop_no'])
        ownShop(given.shop_no)
        const trades = [...logistics].slice(0, limited()).map(([id, order]) => ({
          rec_id: String(id),
          shop_no: shop,
          tid: order.platformNumber,
          logistics_no: order.waybill?.number,
          logistics_type: '4',
          consign_time: order.sentAt === null ? '' : local(order.sentAt),
          trade_id: order.orderId,
        }))
        return { trades, current_count: trades.length }
      }
      case 'logistics_sync_ack': {
        only(given, ['logistics_list'])
        const errors = json(given.logistics_list).flatMap((one) => {
          const error = one.status === 0 ? ackLogistics(one.rec_id as number) : '状态错误'
          return error === null ? [] : [{ rec_id: one.rec_id, error }]
        })
        return { errors }
      }
      case 'api_goods_stock_change_query': {
        only(given, ['limit', 'shop_no'])
        if (given.shop_no === undefined) throw new Refusal(1004, 'shop_no不能为空')
        ownShop(given.shop_no)
        const list = [...moved.values()].slice(0, limited()).map(({ id, count, stock }) => ({
          rec_id: String(id),
          spec_no: stock.item,
          goods_id: stock.item,
          sync_stock: stock.onHand,
          stock_change_count: String(count),
        }))
        return { stock_change_list: list, current_count: list.length }
      }
      case 'api_goods_stock_change_ack': {
        only(given, ['stock_sync_list'])
        const errors = json(given.stock_sync_list).flatMap((one) => {
          const error = ackStock(one)
          return error === null ? [] : [{ rec_id: one.rec_id, error }]
        })
        return { errors }
      }
      case 'trade_push': {
        only(given, ['shop_no', 'trade_list', 'switch'])
        ownShop(given.shop_no)
        const counts = { new: 0, changed: 0 }
        const errors: Fields[] = []
        for (const trade of json(given.trade_list)) {
          const receiver = {
            name: String(trade.receiver_name),
            phone: String(trade.receiver_mobile),
            province: String(trade.receiver_province ?? ''),
            city: String(trade.receiver_city ?? ''),
            district: String(trade.receiver_district ?? ''),
            address: String(trade.receiver_address),
          }
          const details = Array.isArray(trade.order_list) ? trade.order_list : []
          const draft =
            receiver.province === '' ? '省份不能为空' : draftOf(trade, details, receiver, trade.seller_memo)
          if (typeof draft === 'string') errors.push({ tid: trade.tid, error: draft })
          else counts[take(draft, trade.trade_status === 80)]++
        }
        return { new_count: counts.new, chg_count: counts.changed, errors }
      }
      default:
        throw new Refusal(1001, '接口不存在')
    }
  }

  const enterpriseCall = (request: SimulatedRequest): Fields => {
    const method = /^\/openapi2\/(\w+)\.php$/.exec(request.path)?.[1]
    if (method === undefined) throw new Refusal(1001, '接口不存在')
    if (!/^application\/x-www-form-urlencoded/.test(request.headers['content-type'] ?? '')) {
      throw new Refusal(1002, 'content-type错误')
    }
    const given: Record<string, string> = {}
    for (const [name, value] of new URLSearchParams(request.body.toString('utf8'))) {
      if (value === '') throw new Refusal(1003, `参数${name}为空`)
      given[name] = value
    }
    const { sign, sid: seller, appkey, timestamp, ...business } = given
    if (seller !== sid) throw new Refusal(2001, '卖家账号不存在')
    if (appkey !== appKey) throw new Refusal(2002, '接口账号不存在')
    const signed = Object.entries(given)
      .filter(([name]) => name !== 'sign')
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${count(name, 2)}-${name}:${count(value, 4)}-${value}`)
      .reduce((text, item) => (text === '' ? item : `${text};${item}`), '')
    if (sign !== md5(signed, options.appSecret)) throw new Refusal(2003, '签名错误')
    if (Math.abs(Number(timestamp) - Date.now() / 1000) > 300) throw new Refusal(2004, '时间戳超过误差范围')
    return { code: 0, message: '', ...enterprise(method, business) }
  }

  /* ---- the flagship edition ---- */

  const flagship = (
    method: string,
    args: readonly unknown[],
    pager: { from: number; size: number } | null,
  ): Fields => {
    const page = () => {
      if (!pager) throw new Refusal(100, '分页查询必传page_size和page_no')
      return pager
    }
    const [first] = args as readonly Fields[]
    switch (method) {
      case 'sales.TradeQuery.queryWithDetail': {
        only(first ?? {}, ['start_time', 'end_time', 'time_type', 'trade_no', 'src_tid', 'shop_no'])
        const found = findOrders(first ?? {}).map(shownOrder)
        const { from, size } = page()
        return { data: { order: found.slice(from, from + size), total_count: found.length } }
      }
      case 'setting.Shop.queryShop': {
        const { from, size } = page()
        const rows = [{ shop_no: shop, shop_name: '自营商城', platform_id: 127 }]
        return { data: { details: rows.slice(from, from + size), total_count: rows.length } }
      }
      case 'wms.StockSpec.search2': {
        only(first ?? {}, ['start_time', 'end_time', 'spec_nos', 'warehouse_no', 'mask'])
        const codes = first?.spec_nos
        if (codes !== undefined && (!Array.isArray(codes) || codes.length === 0)) {
          throw new Refusal(100, 'spec_nos必须是数组')
        }
        const within = codes === undefined ? span(first ?? {}, MONTH, '30天') : () => true
        const found = world
          .all('shopStock')
          .filter(({ item, updatedAt }) => (codes === undefined || codes.includes(item)) && within(updatedAt))
        const { from, size } = page()
        return {
          data: {
            total_count: found.length,
            detail_list: found.slice(from, from + size).map((stock) => {
              const { avaliable_num: available, ...row } = shownStock(stock)
              const numbers = Object.entries(row).map(([name, value]) =>
                name.endsWith('_num') ? [name, Number(value)] : [name, value],
              )
              return {
                ...Object.fromEntries(numbers),
                available_send_stock: Number(available),
                defect: false,
              }
            }),
          },
        }
      }
      case 'setting.Warehouse.queryWarehouse': {
        const { from, size } = page()
        return {
          data: { details: warehouses().slice(from, from + size), total_count: SHOP_WAREHOUSES.length },
        }
      }
      case 'sales.LogisticsSync.getSyncListExt': {
        only(first ?? {}, ['shop_no', 'is_own_platform', 'tid'])
        if (first?.is_own_platform !== true) return { total: 0, data: [] }
        const { from, size } = page()
        const data = [...logistics].map(([id, order]) => ({
          sync_id: id,
          tid: order.platformNumber,
          logistics_no: order.waybill?.number,
          trade_id: Number(order.orderId),
          is_part_sync: 0,
        }))
        return { total: data.length, data: data.slice(from, from + size) }
      }
      case 'sales.LogisticsSync.update': {
        const list = args[0]
        if (!Array.isArray(list)) throw new Refusal(100, '参数错误')
        const data = list.flatMap((one: Fields) => {
          const error = Number(one.status) === 0 ? ackLogistics(one.sync_id as number) : '同步结果状态为空!'
          return error === null ? [] : [error]
        })
        return { data }
      }
      case 'sales.StockSync.getSelfWaitSyncIdListOpen': {
        const [count, position] = args
        if (typeof count !== 'number' || count < 10 || count > 5000) throw new Refusal(100, 'count错误')
        if (typeof position !== 'number') throw new Refusal(100, 'position错误')
        const list = [...moved.values()].filter(({ id }) => id > position).slice(0, count)
        const last = list.at(-1)
        return { data: { id_list: list.map(({ id }) => id), ...(last ? { position: last.id } : {}) } }
      }
      case 'sales.StockSync.batchCalcStock': {
        const [wanted] = args as [unknown]
        if (!Array.isArray(wanted)) throw new Refusal(100, '参数错误')
        const success: Fields[] = []
        const errors: Fields[] = []
        for (const { api_goods_id: id, force_sync: force, ...more } of wanted as Fields[]) {
          only(more, [])
          const entry = [...moved.values()].find((one) => one.id === id)
          if (typeof force !== 'boolean') errors.push({ rec_id: id, err_msg: 'force_sync' })
          else if (!entry || options.unsynced?.includes(entry.stock.item)) {
            errors.push({ rec_id: id, err_msg: '货品未绑定' })
          } else success.push(calculated(entry))
        }
        return { data: { success_date: success, error_date: errors } }
      }
      case 'sales.StockSync.syncSuccess': {
        const [id, info] = args as [unknown, Fields]
        only(info ?? {}, [...Object.keys(SYNC_RULE), 'syn_stock', 'stock_change_count', ...SYNC_RESULT])
        const entry = [...moved.values()].find((one) => one.id === id)
        const said = calculated(entry ?? { id: 0, count: 0, stock: { item: '', onHand: '0' } })
        for (const name of [...Object.keys(SYNC_RULE), 'syn_stock']) {
          if (info?.[name] !== said[name]) throw new Refusal(100, `${name}错误`)
        }
        if (info?.is_syn_success !== true || typeof info.syn_result !== 'string') {
          throw new Refusal(100, 'syn_result错误')
        }
        const { syn_stock: stock, stock_change_count: count } = info
        const error = ackStock({ rec_id: id, sync_stock: String(stock), stock_change_count: count })
        if (error !== null) throw new Refusal(100, error)
        return {}
      }
      case 'sales.RawTrade.pushSelf2': {
        const [shopNo, trades, details] = args as [unknown, readonly Fields[], readonly Fields[]]
        ownShop(shopNo)
        if (!Array.isArray(trades) || !Array.isArray(details)) throw new Refusal(100, '参数错误')
        const counts = { new: 0, changed: 0 }
        const errors: Fields[] = []
        for (const trade of trades) {
          const own = details.filter((item) => item.tid === trade.tid)
          const [province = '', city = '', district = ''] = String(trade.receiver_area).split(' ')
          const receiver = {
            name: String(trade.receiver_name),
            phone: String(trade.receiver_mobile),
            province,
            city,
            district,
            address: String(trade.receiver_address),
          }
          const goods = own.reduce((sum, item) => sum.plus(Number(item.num)), new Big(0))
          const draft =
            trade.order_count !== own.length || !goods.eq(Number(trade.goods_count))
              ? '子订单个数或货品数量不一致'
              : city === ''
                ? '省市区错误'
                : draftOf(trade, own, receiver, trade.remark)
          if (typeof draft === 'string') errors.push({ no: trade.tid, error: draft })
          else counts[take(draft, trade.trade_status === 80)]++
        }
        return { data: { new_count: counts.new, chg_count: counts.changed, error_list: errors } }
      }
      default:
        throw new Refusal(100, '接口不存在')
    }
  }

  const flagshipCall = (request: SimulatedRequest): Fields => {
    if (request.path !== '/openapi') throw new Refusal(100, '地址错误')
    const [secret = '', salt = ''] = options.appSecret.split(':')
    const given = Object.fromEntries(request.query)
    only(given, [
      'sid',
      'key',
      'salt',
      'method',
      'timestamp',
      'v',
      'page_no',
      'page_size',
      'calc_total',
      'sign',
    ])
    const body = request.body.toString('utf8')
    if (given.sid !== sid) throw new Refusal(101, '卖家账号不存在')
    if (given.key !== appKey || given.salt !== salt) throw new Refusal(102, '接口账号不存在')
    const text = Object.entries({ ...given, body })
      .filter(([name]) => name !== 'sign')
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .reduce((all, [name, value]) => all + name + value, secret)
    if (given.sign !== md5(text, secret)) throw new Refusal(103, '签名错误')
    if (given.v !== '1.0') throw new Refusal(100, '版本错误')
    if (Math.abs(Number(given.timestamp) + EPOCH_2012 - Date.now() / 1000) > 120) {
      throw new Refusal(104, '时间戳超过误差范围')
    }
    let args: unknown
    try {
      args = JSON.parse(body)
    } catch {
      args = null
    }
    if (!Array.isArray(args)) throw new Refusal(100, '参数必须是数组')
    const pager = given.page_size === undefined ? null : pageOf(given.page_no, given.page_size, 1_000)
    return { status: 0, ...flagship(given.method ?? '', args, pager) }
  }

  const ownShop = (given: unknown) => {
    if (given !== undefined && given !== shop) throw new Refusal(3001, '店铺编号不存在')
  }

  const server = await startSimulatorServer({
    ...(options.port ? { port: options.port } : {}),
    nameCall: (request) =>
      isEnterprise ? (request.path.split('/').at(-1) ?? '') : (request.query.get('method') ?? ''),
    handle(request): SimulatedResponse {
      const answer = (body: Fields) => ({
        status: 200,
        headers: { 'content-type': 'application/json; charset=utf-8' },
        body: JSON.stringify(body),
      })
      try {
        const now = Date.now()
        arrivals = [...arrivals.filter((at) => at > now - 60_000), now]
        if (options.perMinute !== undefined && arrivals.length > options.perMinute) {
          throw new Refusal(1030, '超过每分钟最大调用频率限制')
        }
        return answer(isEnterprise ? enterpriseCall(request) : flagshipCall(request))
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        const { code, message } = error
        return answer(isEnterprise ? { code, message } : { status: code, message })
      }
    },
  })
  return {
    url: `${server.url}/${isEnterprise ? 'openapi2' : 'openapi'}`,
    get calls() {
      return server.calls
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    handIn,
    get waiting() {
      return { logistics: logistics.size, stock: moved.size }
    },
    async close() {
      stopListening()
      await server.close()
    },
  }
}

const tradeNo = (order: ShopOrder): string => `JY${order.orderId}`

const shownStock = (stock: ShopStock): Fields => ({
  spec_no: stock.item,
  goods_no: stock.item,
  warehouse_no: stock.warehouse,
  stock_num: four(stock.onHand),
  order_num: four(stock.locked),
  sending_num: '0.0000',
  lock_num: '0.0000',
  avaliable_num: four(new Big(stock.onHand).minus(stock.locked).toFixed()),
  purchase_num: four(stock.incoming),
  modified: local(stock.updatedAt),
})

/** What the vendor works out for a line. */
const worth = (item: Fields): Big =>
  new Big(Number(item.price))
    .times(Number(item.num))
    .plus(Number(item.adjust_amount))
    .minus(Number(item.discount))
    .minus(Number(item.share_discount))

/** The vendor writes four digits, as text. */
const four = (value: string): string => new Big(value).toFixed(4)
const local = (iso: string): string =>
  new Date(Date.parse(iso) + CHINA_MS).toISOString().slice(0, 19).replace('T', ' ')
const md5 = (...parts: readonly string[]): string => {
  const hash = createHash('md5')
  for (const part of parts) hash.update(part, 'utf8')
  return hash.digest('hex')
}
const count = (text: string, width: number): string => String(Array.from(text).length).padStart(width, '0')

function only(given: Fields, names: readonly string[]): void {
  const strange = Object.keys(given).find((name) => !names.includes(name))
  if (strange !== undefined) throw new Refusal(1003, `未知参数${strange}`)
}

function span(
  { start_time: begin, end_time: end }: Fields,
  widest: number,
  words: string,
): (iso: string) => boolean {
  if (typeof begin !== 'string' || typeof end !== 'string') throw new Refusal(1005, '参数中必须包含起止时间')
  if (!TIME.test(begin) || !TIME.test(end) || begin > end) throw new Refusal(1005, '时间格式错误')
  const width = Date.parse(`${end.replace(' ', 'T')}Z`) - Date.parse(`${begin.replace(' ', 'T')}Z`)
  if (width > widest) throw new Refusal(1006, `时间跨度不能大于${words}`)
  return (iso) => begin <= local(iso) && local(iso) <= end
}

function pageOf(
  page: string | undefined,
  size: string | undefined,
  most: number,
): { from: number; size: number } {
  const at = Number(page ?? 0)
  const rows = Number(size ?? 40)
  if (!Number.isInteger(at) || at < 0) throw new Refusal(1004, 'page_no从0开始')
  if (!Number.isInteger(rows) || rows < 1 || rows > most) throw new Refusal(1004, `page_size取值1~${most}`)
  return { from: at * rows, size: rows }
}

function json(text: string | undefined): readonly Fields[] {
  let value: unknown
  try {
    value = JSON.parse(text ?? '')
  } catch {
    value = null
  }
  if (!Array.isArray(value) || value.length === 0) throw new Refusal(1007, '列表不是合法的json')
  return value
}
