/** The enterprise edition (企业版): methods of `openapi2`. */
import { SourceError } from '../failure.ts'
import { jsonNumber } from '../kit/json.ts'
import { listIn } from '../kit/named-fields.ts'
import type { AdapterContext, CallContext } from '../port.ts'
import { type Answer, createEnterpriseClient } from './client.ts'
import type { WangdiantongConfig } from './config.ts'
import {
  counted,
  type Edition,
  type Page,
  type Queue,
  type Row,
  type Rows,
  type Span,
  type Ticket,
} from './edition.ts'

export function createEnterprise(config: WangdiantongConfig, context: AdapterContext): Edition {
  const client = createEnterpriseClient(config, context)

  const query = (
    method: string,
    list: string,
    parameters: Readonly<Record<string, string>>,
    pager: Page,
    call: CallContext,
  ): Promise<Rows> =>
    counted(pager, async ({ page, size }) => {
      const paging = { page_no: String(page), page_size: String(size) }
      const answer = await client.call(method, { ...parameters, ...paging }, { writes: false, context: call })
      // The vendor counts on the first page only.
      return { rows: rowsOf(answer, list, method), told: answer.total_count }
    })
  const inSpan = ({ begin, end }: Span) => ({ start_time: begin, end_time: end })

  const queue = (
    take: { readonly method: string; readonly list: string },
    acknowledge: { readonly method: string; readonly parameter: string },
    ticketOf: (row: Row) => Ticket,
    entryOf: (ticket: Ticket) => object,
  ): Queue => ({
    async take({ shop, limit }, call) {
      const parameters = { limit: String(limit), ...(shop === undefined ? {} : { shop_no: shop }) }
      const answer = await client.call(take.method, parameters, { writes: false, context: call })
      return rowsOf(answer, take.list, take.method).map((row) => ({ ticket: ticketOf(row), row }))
    },
    async acknowledge(tickets, call) {
      const entries = JSON.stringify(tickets.map(entryOf))
      // It may be said twice, so an answer that was lost is no riddle.
      const answer = await client.call(
        acknowledge.method,
        { [acknowledge.parameter]: entries },
        { writes: false, context: call },
      )
      return (Array.isArray(answer.errors) ? answer.errors : []).map((one) => String(one?.error ?? ''))
    },
  })

  return {
    async orders(filter, page, call) {
      const parameters: Readonly<Record<string, string>> =
        'begin' in filter
          ? inSpan(filter)
          : 'number' in filter
            ? { trade_no: filter.number }
            : { src_tid: filter.platformNumber }
      const { rows, total } = await query('trade_query', 'trades', parameters, page, call)
      // What carries the shop's number goes by several names.
      return {
        rows: rows.map((row) => ({ ...row, src_tids: row.src_tids ?? row.src_tid ?? row.tid })),
        total,
      }
    },
    stock: (filter, page, call) =>
      query(
        'stock_query',
        'stocks',
        'begin' in filter ? inSpan(filter) : { spec_no: filter.product },
        page,
        call,
      ),
    warehouses: (page, call) => query('warehouse_query', 'warehouses', {}, page, call),
    shops: (page, call) => query('shop', 'shoplist', {}, page, call),

    logisticsQueue: queue(
      { method: 'logistics_sync_query', list: 'trades' },
      { method: 'logistics_sync_ack', parameter: 'logistics_list' },
      (row) => ({ id: text(row.rec_id) }),
      ({ id = '' }) => ({ rec_id: jsonNumber(id), status: 0, message: '' }),
    ),
    stockQueue: queue(
      { method: 'api_goods_stock_change_query', list: 'stock_change_list' },
      { method: 'api_goods_stock_change_ack', parameter: 'stock_sync_list' },
      // The count tells the vendor which change is meant: a later one stays in the queue.
      (row) => ({ id: text(row.rec_id), stock: text(row.sync_stock), count: text(row.stock_change_count) }),
      ({ id = '', stock = '', count = '' }) => ({
        rec_id: jsonNumber(id),
        sync_stock: jsonNumber(stock),
        stock_change_count: jsonNumber(count),
      }),
    ),

    async push(trades, number, call) {
      const shop = config.orderDefaults?.shop ?? ''
      const answer = await client.call(
        'trade_push',
        { shop_no: shop, trade_list: trades },
        { writes: true, context: call },
      )
      const errors = Array.isArray(answer.errors) ? answer.errors : []
      const error = errors.find((one) => (one?.tid ?? number) === number)
      return error ? { taken: false, message: String(error.error ?? '') } : { taken: true }
    },
    close: () => client.close(),
  }
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '')

function rowsOf(answer: Answer, list: string, method: string): readonly Row[] {
  const rows = listIn(answer, list) ?? []
  if (Array.isArray(rows)) return rows
  throw new SourceError({ kind: 'invalid-response', detail: `POST /${method}.php: "${list}" is no list` })
}
