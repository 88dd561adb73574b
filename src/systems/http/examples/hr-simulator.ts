/**
 * A human resources system of the strict sort: everything is HTTP 200, what it thinks of a request is in `code`.
 * Knows which employee looks after which customer of the CRM. Shares no code with the adapter.
 */
import { randomUUID } from 'node:crypto'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../../simulation/server.ts'
import { type Letter, type LetterBox, startPostman } from '../../../simulation/strict-json.ts'
import type { AccountManager, World, WorldChange } from '../../../simulation/world.ts'

export interface HrSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly password: string
  /** Told of every change. */
  readonly webhook?: LetterBox
}

interface Employee {
  readonly no: string
  readonly name: string
  readonly dept: { readonly id: number; readonly name: string }
  readonly position: string
  readonly mobile: string | null
  readonly entryDate: string
  readonly state: number
  readonly managerNo: string | null
}

const SALES = { id: 20, name: '销售部' }
const BOARD = { id: 1, name: '总经办' }
const EMPLOYEES: readonly Employee[] = [
  {
    no: 'E001',
    name: '陈国栋',
    dept: BOARD,
    position: '总经理',
    mobile: '+86 138 0000 0001',
    entryDate: '2009-03-01 00:00:00',
    state: 1,
    managerNo: null,
  },
  {
    no: 'E002',
    name: '刘晓燕',
    dept: SALES,
    position: '销售总监',
    mobile: '+86 138 0000 0002',
    entryDate: '2012-07-16 00:00:00',
    state: 1,
    managerNo: 'E001',
  },
  {
    no: 'E003',
    name: '赵敏',
    dept: SALES,
    position: '客户经理',
    mobile: '+86 138 0000 0003',
    entryDate: '2018-11-05 00:00:00',
    state: 1,
    managerNo: 'E002',
  },
  {
    no: 'E004',
    name: 'Jürgen Weiß',
    dept: SALES,
    position: 'Key Account Manager',
    mobile: null,
    entryDate: '2020-02-29 00:00:00',
    state: 2,
    managerNo: 'E002',
  },
  {
    no: 'E005',
    name: '周杰',
    dept: SALES,
    position: '客户经理',
    mobile: '',
    entryDate: '2024-05-20 00:00:00',
    state: 1,
    managerNo: 'E002',
  },
]
const ACCOUNT_MANAGERS = ['E003', 'E004', 'E005']
const SESSION_SECONDS = 1_800
const MAX_VALUES = 50

class Refusal extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

export async function startHrSimulator(world: World, options: HrSimulatorOptions): Promise<Simulator> {
  const sessions = new Set<string>()
  const { webhook } = options
  const postman =
    webhook && startPostman({ world, boxes: () => [webhook], write: (change) => letterOf(world, change) })
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    try {
      return answer({ code: 0, message: 'ok', data: route(world, sessions, options.password, request) })
    } catch (error) {
      if (error instanceof Refusal) return answer({ code: error.code, message: error.message, data: null })
      throw error
    }
  }
  const server = await startSimulatorServer({ ...(options.port ? { port: options.port } : {}), handle })
  return {
    ...server,
    get calls() {
      return server.calls
    },
    async close() {
      postman?.stop()
      await server.close()
    },
  }
}

/** One letter names everybody whose customers have changed. */
function letterOf(world: World, { collection, entity, before }: WorldChange): Letter | undefined {
  if (collection !== 'accountManagers') return undefined
  const { customer, employee } = entity as AccountManager
  const former = (before as AccountManager | undefined)?.employee ?? firstManagerOf(world, customer)
  const id = randomUUID()
  const nos = [former, employee].filter((no) => no !== undefined)
  return {
    id,
    body: JSON.stringify({ event: 'EMPLOYEE_CHANGED', seq: id, nos, at: new Date().toISOString() }),
  }
}

const answer = (body: object): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json;charset=UTF-8' },
  body: JSON.stringify(body),
})

function route(world: World, sessions: Set<string>, password: string, request: SimulatedRequest): unknown {
  const call = `${request.method} ${request.path}`
  if (call === 'POST /api/login') {
    const given = jsonBody(request)
    if (given.user !== 'gateway' || given.password !== password) throw new Refusal(4010, '用户名或密码错误')
    const token = randomUUID()
    sessions.add(token)
    return { token, expiresIn: SESSION_SECONDS }
  }
  const token = String(request.headers['x-hr-token'] ?? '')
  if (!sessions.has(token)) throw new Refusal(4011, '请先登录')
  if (call === 'POST /api/logout') return sessions.delete(token)
  if (call === 'GET /api/employees') return employees(world, request.query)
  const [, no] = /^POST \/api\/employees\/(\w+)\/customers$/.exec(call) ?? []
  if (no !== undefined) return assign(world, no, jsonBody(request))
  throw new Refusal(4000, '没有这个接口')
}

/** Every customer of the CRM has one who looks after it: on the first day in turn. */
function firstManagerOf(world: World, customer: string): string | undefined {
  const index = world.all('crmCustomers').findIndex(({ id }) => id === customer)
  return index < 0 ? undefined : ACCOUNT_MANAGERS[index % ACCOUNT_MANAGERS.length]
}

function customersOf(world: World, no: string): { no: string }[] {
  return world.all('crmCustomers').flatMap(({ id }, index) => {
    const manager = world.get('accountManagers', id)?.employee
    return (manager ?? ACCOUNT_MANAGERS[index % ACCOUNT_MANAGERS.length]) === no ? [{ no: id }] : []
  })
}

/** Gives a customer to an employee who is at work. */
function assign(world: World, no: string, given: Record<string, unknown>): null {
  for (const name of Object.keys(given))
    if (!['customerNo', 'operator'].includes(name)) throw new Refusal(4001, `未知参数 ${name}`)
  const employee = EMPLOYEES.find((one) => one.no === no)
  if (!employee) throw new Refusal(4040, '没有这个员工')
  if (typeof given.operator !== 'string' || given.operator === '') throw new Refusal(4001, '缺少 operator')
  const customer = String(given.customerNo)
  if (!world.get('crmCustomers', customer)) throw new Refusal(4041, `没有客户 ${customer}`)
  if (employee.state !== 1) throw new Refusal(4221, `${employee.name} 不在岗`)
  world.put('accountManagers', { customer, employee: no })
  return null
}

function employees(world: World, query: URLSearchParams): unknown {
  const known = ['nos', 'page', 'pageSize', 'department', 'managerNo', 'customerNos']
  for (const name of query.keys()) if (!known.includes(name)) throw new Refusal(4001, `未知参数 ${name}`)
  const list = (name: string): string[] | null => {
    const values = query.get(name)?.split(',') ?? null
    if (values && (values.length > MAX_VALUES || values.includes('')))
      throw new Refusal(4001, `参数 ${name} 不正确`)
    return values
  }
  const show = (employee: Employee) => ({ ...employee, customers: customersOf(world, employee.no) })
  const nos = list('nos')
  const customerNos = list('customerNos')
  const found = EMPLOYEES.map(show)
    .filter(({ no }) => !nos || nos.includes(no))
    .filter(({ customers }) => !customerNos || customers.some(({ no }) => customerNos.includes(no)))
    .filter(({ managerNo }) => !query.has('managerNo') || managerNo === query.get('managerNo'))
    .filter(({ dept }) => !query.has('department') || dept.name === query.get('department'))
  if (!query.has('page')) return { total: found.length, rows: found.reverse() }
  const [page, size] = [Number(query.get('page')), Number(query.get('pageSize') ?? '20')]
  if (!(page >= 1) || !(size >= 1 && size <= 100)) throw new Refusal(4001, '分页参数不正确')
  return { total: found.length, rows: found.slice((page - 1) * size, page * size) }
}

function jsonBody(request: SimulatedRequest): Record<string, unknown> {
  try {
    const body: unknown = JSON.parse(request.body.toString('utf8'))
    if (body !== null && typeof body === 'object') return body as Record<string, unknown>
  } catch {
    // told below
  }
  throw new Refusal(4001, '请求体不是 JSON')
}
