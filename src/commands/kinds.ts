/** `kinds`: which sort of system offers what, in a table of the README, from what the adapters declare. */
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'yaml'
import { systemSchema } from '../config/schema.ts'
import { silentLog } from '../observe/log.ts'
import { kinds } from '../systems/kinds.ts'
import type { Adapter } from '../systems/port.ts'
import { RECORD_TYPES, type RecordType } from '../systems/records.ts'
import type { Flags } from './flags.ts'

const root = new URL('../../', import.meta.url)
const readme = new URL('README.md', root)
const BEGIN = '<!-- npm run kinds -->\n'
const END = '<!-- end of npm run kinds -->'

export async function kindsCommand(flags: Flags): Promise<void> {
  const before = readFileSync(readme, 'utf8')
  const after = withTable(before, await kindsTable())
  if (after === before) return
  if (!flags.check) {
    writeFileSync(readme, after)
    return
  }
  process.stderr.write('The table of kinds in README.md is not what the adapters offer. Run: npm run kinds\n')
  process.exitCode = 1
}

export function withTable(text: string, table: string): string {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)]
  if (begin < 0 || end < begin)
    throw new Error(`README.md has no place for the table: ${BEGIN.trim()} … ${END}`)
  return `${text.slice(0, begin + BEGIN.length)}${table}${text.slice(end)}`
}

/** Each kind as the first sample of its own page configures it. */
export async function kindsTable(): Promise<string> {
  const rows = await Promise.all(Object.keys(kinds).sort().map(rowOf))
  const head = ['kind', 'system', 'holds', 'tells changes of', 'takes']
  const lines = [head, head.map(() => '---'), ...rows]
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('')
}

async function rowOf(kind: string): Promise<string[]> {
  const page = readFileSync(new URL(`src/systems/${kind}/README.md`, root), 'utf8')
  const name = `[\`${kind}\`](src/systems/${kind}/README.md)`
  // What this one offers is what somebody configures.
  if (kind === 'http')
    return [name, titleOf(page, kind), 'any of these, and its own', 'as configured', 'as configured']
  const adapter = await open(kind, page)
  const ports = RECORD_TYPES.flatMap((type) => {
    const port = adapter.ports[type]
    return port ? [{ type, port }] : []
  })
  const changing = ports.filter(({ port }) => port.changes).map(({ type }) => PLURALS[type])
  const pushes = [...(adapter.webhook ? ['webhook'] : []), ...(adapter.stream ? ['stream'] : [])]
  const cells = [
    name,
    titleOf(page, kind),
    ports.map(({ type }) => PLURALS[type]).join(', '),
    [changing.join(', '), ...pushes].filter((part) => part !== '').join('; ') || '–',
    ports.flatMap(({ type, port }) => writesOf(type, port)).join('; ') || '–',
  ]
  await adapter.close()
  return cells
}

const PLURALS: Readonly<Record<RecordType, string>> = {
  customer: 'customers',
  product: 'products',
  warehouse: 'warehouses',
  inventoryLevel: 'stock',
  order: 'orders',
  delivery: 'deliveries',
  reservation: 'reservations',
  invoice: 'invoices',
  payment: 'payments',
  receivable: 'receivables',
  opportunity: 'opportunities',
  shipment: 'shipments',
}

function writesOf(type: RecordType, port: NonNullable<Adapter['ports'][RecordType]>): string[] {
  const actions = [
    ...(port.create ? ['create'] : []),
    ...(port.update ? ['update'] : []),
    ...Object.keys(port.actions ?? {}),
  ]
  return actions.length === 0 ? [] : [`${PLURALS[type]}: ${actions.join(', ')}`]
}

/** An adapter reaches for its system only when it is asked something. */
async function open(kind: string, page: string): Promise<Adapter> {
  const [, sample] = /^```yaml\n(.*?)^```$/ms.exec(page) ?? []
  if (sample === undefined) throw new Error(`src/systems/${kind}/README.md has no sample of its settings`)
  const settings = Object.entries(parse(sample.replaceAll(/\$\{(\w+)\}/g, standIn)))
  const own = Object.fromEntries(settings.filter(([name]) => !(name in systemSchema.shape)))
  const { config, adapter } = kinds[kind] ?? {}
  if (!config || !adapter) throw new Error(`kinds.ts has no ${kind}`)
  const create = await adapter()
  return create((await config()).parse(own) as never, { systemId: kind, log: silentLog, timeoutMs: 1_000 })
}

/** For what the environment would give: nothing is sent, but its form is checked. */
function standIn(_whole: string, name: string): string {
  if (!name.endsWith('PUBLIC_KEY')) return 'x'.repeat(32)
  const { publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  })
  return publicKey.toString('base64')
}

/** The heading, or what the first sentence says where the heading is only the kind's name. */
function titleOf(page: string, kind: string): string {
  const [, heading = ''] = /^# ([^\n]+)/.exec(page) ?? []
  if (heading !== kind) return heading
  const [, first = ''] = /^# [^\n]+\n\n(.*?)(?: \(|[.:,]\s)/s.exec(page) ?? []
  return first.replaceAll(/\s+/g, ' ')
}
