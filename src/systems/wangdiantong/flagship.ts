/** The flagship edition (旗舰版): methods of `openapi`. Its orders are shown under the enterprise edition's names. */

import { SourceError } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import { listIn } from '../kit/named-fields.ts'
import type { AdapterContext } from '../port.ts'
import { createFlagshipClient } from './client.ts'
import type { WangdiantongConfig } from './config.ts'
import type { Edition, Row, Rows } from './edition.ts'

const ORDERS = 'sales.TradeQuery.queryWithDetail'
const WAREHOUSES = 'setting.Warehouse.queryWarehouse'
const SHOPS = 'setting.Shop.queryShop'
const STOCK = 'wms.StockSpec.search2'
const QUEUE = 'sales.LogisticsSync.getSyncListExt'
const ACKNOWLEDGE = 'sales.LogisticsSync.update'
const PUSH = 'sales.RawTrade.pushSelf2'

export function createFlagship(config: WangdiantongConfig, context: AdapterContext, clock: Clock): Edition {
  const client = createFlagshipClient(config, context)

  /** Some times are milliseconds since 1970, where the enterprise edition writes them out. */
  const time = (value: unknown): unknown =>
    typeof value === 'string' && /^\d{12,14}$/.test(value)
      ? clock.wall(new Date(Number(value))).replace('T', ' ')
      : value
  const asTrade = ({ detail_list, ...row }: Row): Row => ({
    ...row,
    trade_time: time(row.trade_time),
    pay_time: time(row.pay_time),
    consign_time: time(row.consign_time),
    created: time(row.created),
    modified: time(row.modified),
    goods_list: detail_list,
  })

  const asStock = (row: Row): Row => ({
    ...row,
    modified: time(row.modified),
    // The enterprise edition's name, which it spells so.
    avaliable_num: row.avaliable_num ?? row.available_send_stock,
  })

  return {
    async orders(filter, pager, call) {
      const parameters =
        'begin' in filter
          ? { start_time: filter.begin, end_time: filter.end, time_type: 1 }
          : 'number' in filter
            ? { trade_no: filter.number }
            : { src_tid: filter.platformNumber }
      const how = { writes: false, context: call, pager }
      const { data } = await client.call(ORDERS, JSON.stringify([parameters]), how)
      const page = pageOf(data, 'order', ORDERS)
      return { ...page, rows: page.rows.map(asTrade) }
    },
    async warehouses(pager, call) {
      const { data } = await client.call(WAREHOUSES, '[{}]', { writes: false, context: call, pager })
      return pageOf(data, 'details', WAREHOUSES)
    },
    async shops(pager, call) {
      const { data } = await client.call(SHOPS, '[{}]', { writes: false, context: call, pager })
      return pageOf(data, 'details', SHOPS)
    },
    async stock(filter, pager, call) {
      const parameters =
        'begin' in filter
          ? { start_time: filter.begin, end_time: filter.end }
          : { spec_nos: [filter.product] }
      const how = { writes: false, context: call, pager }
      const answer = await client.call(STOCK, JSON.stringify([parameters]), how)
      const page = pageOf(answer.data, 'detail_list', STOCK)
      return { ...page, rows: page.rows.map(asStock) }
    },
    logisticsQueue: {
      async take({ shop, limit }, call) {
        const parameters = { is_own_platform: true, ...(shop === undefined ? {} : { shop_no: shop }) }
        const pager = { page: 0, size: limit }
        const how = { writes: false, context: call, pager }
        const { data = [] } = await client.call(QUEUE, JSON.stringify([parameters]), how)
        if (!Array.isArray(data)) throw noList(QUEUE)
        return data.map((row: Row) => ({ ticket: { id: String(row.sync_id ?? '') }, row }))
      },
      async acknowledge(tickets, call) {
        const entries = tickets.map(({ id = '' }) => ({ sync_id: jsonNumber(id), status: 0, error_msg: '' }))
        const { data } = await client.call(ACKNOWLEDGE, JSON.stringify([entries]), {
          writes: false,
          context: call,
        })
        return Array.isArray(data) ? data.map(String) : []
      },
    },
    async push(text, number, call) {
      const { data } = await client.call(PUSH, text, { writes: true, context: call })
      const errors = (data as { error_list?: unknown } | null)?.error_list
      const error = Array.isArray(errors) ? errors.find((one) => (one?.no ?? number) === number) : undefined
      return error ? { taken: false, message: String(error.error ?? '') } : { taken: true }
    },
    close: () => client.close(),
  }
}

function pageOf(data: unknown, list: string, method: string): Rows {
  if (data === undefined || data === null) return { rows: [], total: 0 }
  if (Array.isArray(data)) return { rows: data, total: data.length }
  const page = data as Readonly<Record<string, unknown>>
  const rows = listIn(page, list) ?? []
  if (!Array.isArray(rows)) throw noList(method)
  const { total_count: total } = page
  return { rows, total: typeof total === 'string' && /^\d+$/.test(total) ? Number(total) : rows.length }
}

const noList = (method: string): SourceError =>
  new SourceError({ kind: 'invalid-response', detail: `POST ${method}: no list` })
