/** The flagship edition (旗舰版): methods of `openapi`. Its orders are shown under the enterprise edition's names. */

import { outcomeOf, SourceError } from '../failure.ts'
import type { Clock } from '../kit/clock.ts'
import { jsonNumber } from '../kit/json.ts'
import { listIn } from '../kit/named-fields.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import { createFlagshipClient } from './client.ts'
import type { WangdiantongConfig } from './config.ts'
import { counted, type Edition, type Page, type Row, type Rows, type Span } from './edition.ts'

const ORDERS = 'sales.TradeQuery.queryWithDetail'
const WAREHOUSES = 'setting.Warehouse.queryWarehouse'
const SHOPS = 'setting.Shop.queryShop'
const STOCK = 'wms.StockSpec.search2'
const QUEUE = 'sales.LogisticsSync.getSyncListExt'
const ACKNOWLEDGE = 'sales.LogisticsSync.update'
const WAITING = 'sales.StockSync.getSelfWaitSyncIdListOpen'
const CALCULATE = 'sales.StockSync.batchCalcStock'
const SYNCED = 'sales.StockSync.syncSuccess'
const PUSH = 'sales.RawTrade.pushSelf2'

/** The vendor gives no fewer; each is acknowledged by a call of its own, and calls are counted. */
const WAITING_AT_ONCE = 10
/** So many lists are passed by of which nothing could be calculated: they must not hide what waits behind them. */
const MAX_PASSED_BY = 20
/** What a calculation says and the acknowledgement of it has to repeat. */
const REPEATED = [
  'syn_stock',
  'stock_change_count',
  'stock_syn_rule_id',
  'stock_syn_rule_no',
  'stock_syn_warehouses',
  'stock_syn_mask',
  'stock_syn_percent',
  'stock_syn_plus',
  'stock_syn_min',
  'stock_syn_max',
  'is_auto_listing',
  'is_auto_delisting',
]

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

  /** A call whose answer may be repeated; `data` as an object. @throws SourceError */
  const asked = async (method: string, args: readonly unknown[], call: CallContext): Promise<Row> => {
    const { data, ...rest } = await client.call(method, JSON.stringify(args), {
      writes: false,
      context: call,
    })
    // Some methods answer their lists beside the status.
    return typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as Row) : rest
  }
  const ticketOf = (row: Row) => ({
    id: String(row.rec_id ?? ''),
    said: JSON.stringify(Object.fromEntries(REPEATED.map((name) => [name, row[name] ?? '']))),
  })
  /** A shop's own code of the goods is the seller's code, where the shop has one. */
  const asMoved = (row: Row): Row => ({
    ...row,
    spec_no: [row.spec_outer_id, row.match_code, row.outer_id].find(
      (code) => typeof code === 'string' && code,
    ),
  })

  const query = (
    method: string,
    list: string,
    parameters: object,
    pager: Page,
    call: CallContext,
  ): Promise<Rows> =>
    counted(pager, async (pager) => {
      const how = { writes: false, context: call, pager }
      const { data } = await client.call(method, JSON.stringify([parameters]), how)
      return pageOf(data, list, method)
    })
  const inSpan = ({ begin, end }: Span) => ({ start_time: begin, end_time: end })
  const shown = async (page: Promise<Rows>, as: (row: Row) => Row): Promise<Rows> => {
    const { rows, total } = await page
    return { rows: rows.map(as), total }
  }

  return {
    orders(filter, pager, call) {
      const parameters =
        'begin' in filter
          ? { ...inSpan(filter), time_type: 1 }
          : 'number' in filter
            ? { trade_no: filter.number }
            : { src_tid: filter.platformNumber }
      return shown(query(ORDERS, 'order', parameters, pager, call), asTrade)
    },
    warehouses: (pager, call) => query(WAREHOUSES, 'details', {}, pager, call),
    shops: (pager, call) => query(SHOPS, 'details', {}, pager, call),
    stock(filter, pager, call) {
      const parameters = 'begin' in filter ? inSpan(filter) : { spec_nos: [filter.product] }
      return shown(query(STOCK, 'detail_list', parameters, pager, call), asStock)
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
    /** Goods of the shops that this account may see; the vendor takes no number of a shop. */
    stockQueue: {
      async take(_, call) {
        let position = '0'
        for (let lists = 0; lists < MAX_PASSED_BY; lists++) {
          const list = await asked(WAITING, [WAITING_AT_ONCE, jsonNumber(position)], call)
          const ids = Array.isArray(list.id_list) ? list.id_list.map(String) : []
          if (ids.length === 0) return []
          const wanted = ids.map((id) => ({ api_goods_id: jsonNumber(id), force_sync: false }))
          const calculated = await asked(CALCULATE, [wanted], call)
          const refused = calculated.error_date
          if (Array.isArray(refused) && refused.length > 0) {
            context.log.warn(
              { system: context.systemId, refused: refused.slice(0, 5) },
              'stock not calculated',
            )
          }
          const rows = (Array.isArray(calculated.success_date) ? calculated.success_date : []) as Row[]
          if (rows.length > 0) return rows.map((row) => ({ ticket: ticketOf(row), row: asMoved(row) }))
          const next = String(list.position ?? '')
          if (!/^\d+$/.test(next) || next === position) return []
          position = next
        }
        return []
      },
      async acknowledge(tickets, call) {
        const words: string[] = []
        for (const { id = '', said = '{}' } of tickets) {
          const info = {
            ...numbersIn(JSON.parse(said)),
            stock_syn_other: '',
            is_syn_success: true,
            is_manual: false,
            syn_result: '同步成功',
          }
          const told = await outcomeOf(() => asked(SYNCED, [jsonNumber(id), info], call))
          if (told.ok) continue
          if (told.failure.kind !== 'rejected') throw new SourceError(told.failure)
          words.push(told.failure.message)
        }
        return words
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

/** Texts that were JSON numbers are sent as such again. */
function numbersIn(said: Row): Row {
  const texts = new Set(['stock_syn_rule_no', 'stock_syn_warehouses'])
  return Object.fromEntries(
    Object.entries(said).map(([name, value]) =>
      typeof value === 'string' && value !== '' && !texts.has(name)
        ? [name, jsonNumber(value)]
        : [name, value],
    ),
  )
}

function pageOf(data: unknown, list: string, method: string): { rows: readonly Row[]; told: unknown } {
  if (data === undefined || data === null) return { rows: [], told: '0' }
  if (Array.isArray(data)) return { rows: data, told: undefined }
  const page = data as Readonly<Record<string, unknown>>
  const rows = listIn(page, list) ?? []
  if (!Array.isArray(rows)) throw noList(method)
  return { rows, told: page.total_count }
}

const noList = (method: string): SourceError =>
  new SourceError({ kind: 'invalid-response', detail: `POST ${method}: no list` })
