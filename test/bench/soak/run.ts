/**
 * `npm run bench soak`: mixed load for a long time on one gateway in a process of its own, to see whether its memory
 * stays flat. Reads, lists, writes, subscribers that come and go, and a world that moves by itself.
 *
 * Options: `--minutes N` (60), `--rate N` operations in a second (20). Prints a line a minute and JSON at the end; the
 * exit code is 1 where an answer failed, or where memory has grown from the second third to the last by more than a
 * tenth.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startLife } from '../../../src/simulation/life.ts'
import { simulateSystems } from '../../e2e/processes.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, rate: { type: 'string', default: '20' } },
  allowPositionals: true,
})
const minutes = Number(values.minutes)
const rate = Number(values.rate)

await using systems = await simulateSystems({
  configure({ systems }) {
    for (const system of Object.values(systems)) system.pollEvery = '2s'
  },
})
const gateway = await systems.run('start')
const life = startLife(systems.world, 500)
const orders = systems.world.all('erpOrders').map(({ docNum }) => String(docNum))
const customers = systems.world.all('crmCustomers').map(({ id }) => String(id))
const any = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T

const VIEW = `query View($key: String!) { customer(externalId: { system: "crm", key: $key }) {
  name level contacts { name } accounts { key creditLimit { amount } }
  orders(first: 5) { number status lines { product { sku inventory { available { value } } } } invoices { number open { amount } } }
} }`
const ORDER =
  'query Order($number: String!) { orderByNumber(system: "erp", number: $number) { id status customer { name } } }'
const LIST =
  '{ customers(first: 20) { nodes { id name } } systems { id breaker inFlight } writebacks(first: 10) { nodes { id state } } }'
const WRITE =
  'mutation Write($input: UpdateCustomerInput!) { updateCustomer(input: $input) { writeback { state } } }'

let asked = 0
let failed = 0
const failures = new Map<string, number>()
const count = (what: string) => {
  failed++
  failures.set(what, (failures.get(what) ?? 0) + 1)
}

async function operation(): Promise<void> {
  const dice = Math.random()
  asked++
  try {
    const answer =
      dice < 0.5
        ? await gateway.ask(VIEW, { key: any(customers) })
        : dice < 0.75
          ? await gateway.ask(ORDER, { number: any(orders) })
          : dice < 0.95
            ? // Never the same text twice: what is kept of documents and plans must be bounded too.
              await gateway.ask(LIST.replace('first: 20', `first: ${1 + Math.floor(Math.random() * 90)}`))
            : await gateway.ask(WRITE, {
                input: {
                  idempotencyKey: `soak-${asked}`,
                  id: await idOf(any(customers)),
                  industry: any(['机械制造', 'Logistics', 'Handel']),
                },
              })
    for (const error of answer.errors ?? []) count(error.message)
  } catch (error) {
    count(String(error))
  }
}

async function idOf(key: string): Promise<string> {
  const { data } = await gateway.ask(
    'query Id($key: String!) { customer(externalId: { system: "crm", key: $key }) { id } }',
    { key },
  )
  return (data as { customer: { id: string } }).customer.id
}

/** Stays for a while, and goes. */
async function subscriber(until: number): Promise<void> {
  while (Date.now() < until) {
    const listener = await gateway.listen(
      any([
        'subscription { orderChanged { event order { number customer { name } } } }',
        'subscription { inventoryChanged { time level { product { sku } } } }',
        'subscription { writebackChanged { writeback { id state } } }',
      ]),
    )
    await pause(5_000 + Math.random() * 25_000)
    await listener[Symbol.asyncDispose]()
  }
}

const residentMiB = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))?.[1]) / 1024

const began = Date.now()
const until = began + minutes * 60_000
const subscribers = Array.from({ length: 20 }, () => subscriber(until).catch((error) => count(String(error))))
const memory: number[] = []
const underWay = new Set<Promise<void>>()
let nextLook = began + 60_000
while (Date.now() < until) {
  // Open: what is slow does not slow what comes after it.
  const one = operation().finally(() => underWay.delete(one))
  underWay.add(one)
  if (Date.now() >= nextLook) {
    nextLook += 60_000
    memory.push(residentMiB())
    process.stderr.write(
      `minute ${memory.length}: ${memory.at(-1)?.toFixed(0)} MiB, ${asked} operations, ${failed} failed, ${underWay.size} under way\n`,
    )
  }
  await pause(1000 / rate)
}
await Promise.all([...underWay, ...subscribers])
life.stop()

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? 0
const third = Math.floor(memory.length / 3)
const [middle, last] = [median(memory.slice(third, 2 * third)), median(memory.slice(2 * third))]
const grown = middle > 0 ? last / middle - 1 : 0
process.stdout.write(
  `${JSON.stringify({ minutes, operations: asked, failed, failures: Object.fromEntries(failures), memoryMiB: memory.map(Math.round), middle, last, grown })}\n`,
)
process.exitCode = failed > 0 || grown > 0.1 ? 1 : 0
