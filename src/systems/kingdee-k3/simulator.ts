/**
 * A K/3 Cloud data centre on loopback, strict where the vendor is, and lax where the vendor is: everything is
 * HTTP 200. It shows the ERP part of the demo world and its bills, and writes orders into it.
 */
import { createHash, createHmac, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { cancelOrder, changeOrder, moveStock, placeOrder, TAX_PERCENT } from '../../simulation/trade.ts'
import type { ErpAccount, ErpOrder, World } from '../../simulation/world.ts'
import { Refusal, runQuery, type Table, type Values } from './simulator-query.ts'

export interface KingdeeK3SimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `6500a1b2c3d4e5`. */
  readonly accountId?: string
  /** Default `demo`. */
  readonly user?: string
  /** Default `demo`. */
  readonly password?: string
  /** Default `205600_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4`. */
  readonly appId?: string
  /** Default `demo-app-secret`. */
  readonly appSecret?: string
  /** Default `session`, which takes signed calls too. `token`: as the profile galaxy, bearer tokens only. */
  readonly auth?: 'session' | 'token'
  /** Without activity a session ends after so long. Default 20 min. */
  readonly sessionTimeoutMs?: number
  /** Default 0. */
  readonly loginDelayMs?: number
  /** Rows in one answer, whatever is asked for. Default 2000. */
  readonly maxRows?: number
  /** `people`: who calls may submit, but not audit. Default `api`. */
  readonly approval?: 'api' | 'people'
  /** Orders whose gross total is above are not accepted for approval. */
  readonly submitLimit?: string
  /** Fields that the company added to orders. Default `F_TRB_User`, `F_TRB_CustRef`, `F_TRB_Region`. */
  readonly ownFields?: readonly string[]
  /** Materials that the branch in another organisation made, and did not allocate (分配) to this one. */
  readonly unallocated?: readonly string[]
}

export interface KingdeeK3Simulator extends Simulator {
  /** As an application pool that is recycled. */
  endSessions(): void
  /** What a person does with an order in approval. */
  decide(number: string, decision: 'approve' | 'sendBack'): void
  /** Somebody has the order open for the next so many writes. */
  lock(number: string, writes: number): void
}

const ORGANIZATION = '100'
const CURRENCIES: Readonly<Record<string, string>> = {
  CNY: 'PRE001',
  EUR: 'PRE003',
  JPY: 'PRE004',
  GBP: 'PRE006',
  USD: 'PRE007',
}
const MASK = '0054f397c6234378b09ca7d3e5debce7'

export async function startKingdeeK3Simulator(
  world: World,
  options: KingdeeK3SimulatorOptions = {},
): Promise<KingdeeK3Simulator> {
  const gate = createGate(options)
  const company = createCompany(world, options)

  const handle = async (request: SimulatedRequest): Promise<SimulatedResponse> => {
    if (request.method !== 'POST') return { status: 405, body: 'Method Not Allowed' }
    if (request.path === '/auth/token') return gate.token(request)
    const [, service, operation] =
      /^\/k3cloud\/Kingdee\.BOS\.WebApi\.ServicesStub\.(\w+)\.(\w+)\.common\.kdsvc$/i.exec(request.path) ?? []
    if (!service || !operation) return { status: 404, body: '<html><body>404</body></html>' }
    if (service === 'AuthService') {
      if (options.loginDelayMs) await delay(options.loginDelayMs)
      return gate.login(operation, request)
    }
    if (service !== 'DynamicFormService') return { status: 404, body: '<html><body>404</body></html>' }
    const isQuery = operation === 'ExecuteBillQuery'
    try {
      const body = bodyOf(request)
      const admitted = gate.admits(request)
      if (admitted === 'unauthorized') return { status: 401, body: '{"error":"invalid_token"}' }
      if (!admitted) {
        if (operation === 'View') return json({})
        throw new Refusal(1, '会话信息已丢失，请重新登录')
      }
      if (isQuery) return json(company.query(dataIn(body, 0)))
      return json(company.serve(operation, formIn(body), body))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const answer = { Result: { ResponseStatus: refused(error) } }
      return json(isQuery ? [[answer]] : answer)
    }
  }
  const server = await startSimulatorServer({
    handle,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  return Object.assign(server, {
    endSessions: gate.endSessions,
    decide: company.decide,
    lock: company.lock,
  })
}

const json = (
  body: unknown,
  headers: Record<string, string | readonly string[]> = {},
): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'application/json; charset=utf-8', ...headers },
  body: JSON.stringify(body),
})

const refused = ({ code, message, field }: Refusal) => ({
  ErrorCode: 500,
  IsSuccess: false,
  Errors: [{ FieldName: field, Message: message, DIndex: 0 }],
  SuccessEntitys: [],
  SuccessMessages: [],
  MsgCode: code,
})

/* ---- bodies ---- */

type Body = Readonly<Record<string, unknown>>

function bodyOf(request: SimulatedRequest): Body {
  try {
    const body: unknown = JSON.parse(request.body.toString('utf8') || '{}')
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Body
  } catch {
    // said below
  }
  throw new Refusal(8, '请求参数不是有效的JSON')
}

function formIn(body: Body): string {
  const form = Array.isArray(body.parameters) ? body.parameters[0] : body.formid
  if (typeof form !== 'string' || form === '') throw new Refusal(5, 'FormId为空')
  return form
}

/** The data, as an object or as a text, by name or at its place among the parameters. */
function dataIn(body: Body, place: number): Body {
  const data: unknown = Array.isArray(body.parameters) ? body.parameters[place] : body.data
  try {
    const object: unknown = typeof data === 'string' ? JSON.parse(data) : data
    if (typeof object === 'object' && object !== null) return object as Body
  } catch {
    // said below
  }
  throw new Refusal(8, 'data参数无效')
}

/* ---- who is asking ---- */

function createGate(options: KingdeeK3SimulatorOptions) {
  const accountId = options.accountId ?? '6500a1b2c3d4e5'
  const user = options.user ?? 'demo'
  const password = options.password ?? 'demo'
  const appId = options.appId ?? '205600_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4'
  const appSecret = options.appSecret ?? 'demo-app-secret'
  const timeoutMs = options.sessionTimeoutMs ?? 20 * 60_000
  const sessions = new Map<string, { aspNet: string; endsAt: number }>()

  const cookiesOf = (request: SimulatedRequest) =>
    new Map(
      (request.headers.cookie ?? '')
        .split(';')
        .map((part) => part.trim().split('=', 2) as [string, string | undefined]),
    )

  const open = (): SimulatedResponse => {
    const id = randomUUID()
    const aspNet = randomUUID().slice(0, 24)
    sessions.set(id, { aspNet, endsAt: Date.now() + timeoutMs })
    return json(
      {
        Message: null,
        MessageCode: 'CheckPasswordPolicy',
        LoginResultType: 1,
        Context: { UserLocale: 'zh-CN', DBid: accountId, UserId: 100001, UserName: user },
        KDSVCSessionId: id,
        IsSuccessByAPI: true,
      },
      {
        'set-cookie': [
          `ASP.NET_SessionId=${aspNet}; path=/; HttpOnly`,
          `kdservice-sessionid=${id}; path=/; HttpOnly`,
        ],
      },
    )
  }
  const no = (message: string) =>
    json({ Message: message, LoginResultType: 0, Context: null, KDSVCSessionId: '', IsSuccessByAPI: false })

  const isSigned = (request: SimulatedRequest): boolean | undefined => {
    const of = (name: string) => String(request.headers[name] ?? '')
    if (!of('x-kd-appkey')) return undefined
    const seconds = Number(of('x-api-timestamp').slice(0, 10))
    const half = appId.split('_')[1] ?? ''
    const raw = Buffer.from(half, 'base64')
    for (let at = 0; at < raw.length; at++) raw[at] = (raw[at] as number) ^ MASK.charCodeAt(at % MASK.length)
    const sign = (key: string, text: string) =>
      Buffer.from(createHmac('sha256', key).update(text).digest('hex')).toString('base64')
    const signed = `POST\n${request.path.replaceAll('/', '%2F')}\n\nx-api-nonce:${of('x-api-nonce')}\nx-api-timestamp:${of('x-api-timestamp')}\n`
    const data = Buffer.from(of('x-kd-appdata'), 'base64').toString('utf8')
    return (
      of('x-api-clientid') === appId.split('_')[0] &&
      of('x-api-auth-version') === '2.0' &&
      of('x-api-signheaders') === 'X-Api-TimeStamp,X-Api-Nonce' &&
      of('x-api-signature') === sign(raw.toString('base64'), signed) &&
      of('x-kd-appkey') === appId &&
      of('x-kd-signature') === sign(appSecret, appId + data) &&
      data.startsWith(`${accountId},${user},2052`) &&
      Math.abs(Date.now() / 1000 - seconds) < 300
    )
  }

  return {
    login(operation: string, request: SimulatedRequest): SimulatedResponse {
      if (options.auth === 'token') return { status: 404, body: '' }
      if (operation === 'Logout') {
        sessions.delete(String(request.headers['kdservice-sessionid'] ?? ''))
        return json({ LoginResultType: 1 })
      }
      const body = bodyOf(request)
      const given = Array.isArray(body.parameters) ? body.parameters : []
      if (given[0] !== accountId) return no('数据中心不存在')
      if (given[1] !== user) return no('用户名或密码错误')
      if (operation === 'ValidateUser') {
        return given.length === 4 && given[2] === password ? open() : no(`用户名或密码错误: ${given[2]}`)
      }
      if (operation === 'LoginByAppSecret') {
        return given.length === 5 && given[2] === appId && given[3] === appSecret
          ? open()
          : no('应用密钥错误')
      }
      if (operation === 'LoginBySign') {
        const parts = [accountId, user, appId, appSecret, String(given[3])].sort().join('')
        const right =
          given.length === 6 &&
          typeof given[3] === 'number' &&
          Math.abs(Date.now() / 1000 - given[3]) < 300 &&
          given[4] === createHash('sha256').update(parts).digest('hex')
        return right ? open() : no('签名错误')
      }
      return { status: 404, body: '' }
    },

    token(request: SimulatedRequest): SimulatedResponse {
      if (options.auth !== 'token') return { status: 404, body: '' }
      const body = bodyOf(request)
      const right =
        body.acct_id === accountId &&
        body.username === user &&
        body.password === password &&
        body.app_id === appId &&
        body.app_secret === appSecret
      if (!right) return { status: 401, body: '{"error":"invalid_client"}' }
      const token = randomUUID()
      sessions.set(token, { aspNet: '', endsAt: Date.now() + timeoutMs })
      return json({ access_token: token, expires_in: Math.round(timeoutMs / 1000) })
    },

    /** The balancer's cookie belongs to the session: another node knows nothing of it. */
    admits(request: SimulatedRequest): boolean | 'unauthorized' {
      if (options.auth === 'token') {
        const token = /^Bearer (.+)$/.exec(String(request.headers.authorization ?? ''))?.[1] ?? ''
        return (sessions.get(token)?.endsAt ?? 0) > Date.now() || 'unauthorized'
      }
      const signed = isSigned(request)
      if (signed !== undefined) return signed
      const cookies = cookiesOf(request)
      const session = sessions.get(String(request.headers['kdservice-sessionid'] ?? ''))
      if (!session || session.endsAt < Date.now()) return false
      if (session.aspNet !== cookies.get('ASP.NET_SessionId')) return false
      session.endsAt = Date.now() + timeoutMs
      return true
    },

    endSessions() {
      sessions.clear()
    },
  }
}

/* ---- what the company has ---- */

function createCompany(world: World, options: KingdeeK3SimulatorOptions) {
  const ownFields = options.ownFields ?? ['F_TRB_User', 'F_TRB_CustRef', 'F_TRB_Region']
  const unallocated = new Set(options.unallocated)
  const tables = createTables(world, ownFields, unallocated)
  const locks = new Map<string, number>()

  const orderBy = (test: (order: ErpOrder) => boolean, what: string): ErpOrder => {
    const order = world.all('erpOrders').find(test)
    if (!order) throw new Refusal(10, `数据不存在: ${what}`)
    return order
  }
  const orderNumbered = (number: string) => orderBy((order) => numberOf(order) === number, number)

  const checkLock = (number: string) => {
    const left = locks.get(number) ?? 0
    if (left <= 0) return
    locks.set(number, left - 1)
    throw new Refusal(13, `单据${number}正在被其他用户操作（网络控制冲突）`)
  }

  const done = (order: ErpOrder) => ({
    Result: {
      ResponseStatus: {
        IsSuccess: true,
        Errors: [],
        SuccessEntitys: [{ Id: idOf(order), Number: numberOf(order), DIndex: 0 }],
        SuccessMessages: [],
        MsgCode: 0,
      },
      Id: idOf(order),
      Number: numberOf(order),
      NeedReturnData: [{ FBillNo: numberOf(order) }],
    },
  })

  const setStatus = (order: ErpOrder, status: string): ErpOrder =>
    changeOrder(world, order, {
      confirmed: status === 'C',
      userFields: { ...order.userFields, FDocumentStatus: status },
    })

  const byNumbers = (data: Body, change: (order: ErpOrder) => ErpOrder) => {
    const numbers = Array.isArray(data.Numbers) ? data.Numbers.map(String) : []
    if (numbers.length !== 1) throw new Refusal(8, 'Numbers参数无效')
    const order = orderNumbered(numbers[0] ?? '')
    checkLock(numberOf(order))
    return done(change(order))
  }

  const submit = (order: ErpOrder): ErpOrder => {
    if (order.cancelled) throw new Refusal(12, '单据已作废，不能提交')
    if (!['Z', 'A', 'D'].includes(statusOf(order)))
      throw new Refusal(12, '只有创建或重新审核状态的单据才能提交')
    if (options.submitLimit !== undefined && new Big(order.companyGross).gt(options.submitLimit)) {
      throw new Refusal(
        11,
        `客户信用额度不足，超额${new Big(order.companyGross).minus(options.submitLimit)}元`,
        'FCustId',
      )
    }
    return setStatus(order, 'B')
  }
  const audit = (order: ErpOrder): ErpOrder => {
    if (statusOf(order) !== 'B') throw new Refusal(12, '只有审核中的单据才能审核')
    if (options.approval === 'people') throw new Refusal(12, '单据处于审批流程中，不允许直接审核')
    return setStatus(order, 'C')
  }
  const unAudit = (order: ErpOrder): ErpOrder => {
    if (statusOf(order) !== 'C') throw new Refusal(12, '只有已审核的单据才能反审核')
    if (order.lines.some((line) => !new Big(line.open).eq(line.quantity))) {
      throw new Refusal(12, '存在下游单据，不允许反审核')
    }
    return setStatus(order, 'D')
  }
  const operate =
    (code: unknown) =>
    (order: ErpOrder): ErpOrder => {
      if (code === 'Cancel') {
        if (order.cancelled) throw new Refusal(12, '单据已作废')
        if (['B', 'C'].includes(statusOf(order))) throw new Refusal(12, '审核中或已审核的单据不允许作废')
        return cancelOrder(world, order)
      }
      if (code === 'YLBillClose') {
        for (const line of order.lines)
          moveStock(world, line.item, line.warehouse, { committed: `-${line.open}` })
        return changeOrder(world, order, { closed: true })
      }
      throw new Refusal(3, '操作编码不存在')
    }

  const save = (data: Body): unknown => {
    const model = objectIn(data.Model, 'Model')
    const id = Number(model.FID ?? 0)
    if (id > 0) {
      const order = orderBy((one) => idOf(one) === id, String(id))
      checkLock(numberOf(order))
      return done(update(order, data, model))
    }
    const flat = options.auth === 'token' && model.FEntity !== undefined
    const draft = flat ? readFlat(model, world, unallocated) : readModel(model, world, ownFields, unallocated)
    const number = draft.number
    if (number !== undefined && world.all('erpOrders').some((order) => numberOf(order) === number)) {
      throw new Refusal(11, `违反字段唯一性要求：编号唯一。${number}在当前系统中已经被使用。`, 'FBillNo')
    }
    const placed = placeOrder(world, {
      ...draft,
      confirmed: false,
      userFields: {
        ...draft.userFields,
        FDocumentStatus: 'A',
        ...(number === undefined ? {} : { FBillNo: number }),
      },
    })
    return done(placed)
  }

  const update = (order: ErpOrder, data: Body, model: Body): ErpOrder => {
    if (order.cancelled) throw new Refusal(12, '单据已作废，不能修改')
    if (['B', 'C'].includes(statusOf(order))) throw new Refusal(12, '审核中或已审核的单据不能修改')
    const needed = Array.isArray(data.NeedUpDateFields) ? data.NeedUpDateFields.map(String) : []
    for (const name of Object.keys(model)) checkName(name, [...HEAD_FIELDS, 'FID', ...ownFields])
    // Without the list, what is not sent is emptied.
    const touches = (name: string) => needed.length === 0 || needed.includes(name)
    let { lines, dueDate, comments } = order
    const userFields = { ...order.userFields }
    if (touches('FNote')) comments = textIn(model.FNote)
    for (const name of ['FNetOrderBillNo', ...RECEIVER_FIELDS, ...ownFields]) {
      if (touches(name)) userFields[name] = textIn(model[name])
    }
    if (model.FSaleOrderFinance !== undefined) {
      const finance = objectIn(model.FSaleOrderFinance, 'FSaleOrderFinance')
      for (const name of Object.keys(finance)) checkName(name, FINANCE_FIELDS)
      // A field below is updated where the list names it and what it stands in.
      if (touches('FSaleOrderFinance') && touches('FRecConditionId')) {
        userFields.FRecConditionId = termsIn(world, finance)
      }
    }
    const entries = Array.isArray(model.FSaleOrderEntry) ? (model.FSaleOrderEntry as Body[]) : undefined
    const sent = new Map((entries ?? []).map((entry) => [Number(entry.FEntryID ?? 0), entry]))
    if (entries) {
      for (const [entryId, entry] of sent) {
        const line = order.lines.find((one) => entryIdOf(order, one.lineNum) === entryId)
        if (!line) throw new Refusal(10, `分录${entryId}不存在`)
        const isNeeded =
          needed.length === 0 || (needed.includes('FSaleOrderEntry') && needed.includes('FEntryID'))
        if (isNeeded && touches('FDeliveryDate') && entry.FDeliveryDate !== undefined) {
          dueDate = dayIn(entry.FDeliveryDate, 'FDeliveryDate')
        }
      }
      if (data.IsDeleteEntry !== 'false' && data.IsDeleteEntry !== false) {
        lines = lines.filter((line) => sent.has(entryIdOf(order, line.lineNum)))
      }
    }
    return changeOrder(world, order, { lines, dueDate, comments, userFields })
  }

  return {
    query(data: Body) {
      const form = String(data.FormId ?? '')
      if (form === '') throw new Refusal(5, 'FormId为空')
      // A form with two entries is joined with the one whose fields are asked for.
      const detail = /\bFEntityDetail_/i.test(String(data.FieldKeys ?? '')) ? '/detail' : ''
      const table = tables[form.toLowerCase() + detail] ?? tables[form.toLowerCase()]
      if (!table) throw new Refusal(4, `业务对象不存在: ${form}`)
      const limit = Number(data.Limit ?? 0) || Number.POSITIVE_INFINITY
      return runQuery(table, {
        fields: String(data.FieldKeys ?? ''),
        filter: String(data.FilterString ?? ''),
        order: String(data.OrderString ?? ''),
        start: Number(data.StartRow ?? 0),
        limit: Math.min(limit, options.maxRows ?? 2000),
      })
    },

    serve(operation: string, form: string, body: Body): unknown {
      if (form.toLowerCase() !== 'sal_saleorder') throw new Refusal(4, `业务对象不存在: ${form}`)
      const data = dataIn(body, operation === 'ExcuteOperation' ? 2 : 1)
      switch (operation) {
        case 'View':
          return {
            Result: { ResponseStatus: null, Result: viewOf(orderNumbered(String(data.Number ?? ''))) },
          }
        case 'Save':
          return save(data)
        case 'Submit':
          return byNumbers(data, submit)
        case 'Audit':
          return byNumbers(data, audit)
        case 'UnAudit':
          return byNumbers(data, unAudit)
        case 'ExcuteOperation':
          return byNumbers(data, operate(Array.isArray(body.parameters) ? body.parameters[1] : body.opNumber))
        default:
          throw new Refusal(3, '操作不存在')
      }
    },

    decide(number: string, decision: 'approve' | 'sendBack') {
      setStatus(orderNumbered(number), decision === 'approve' ? 'C' : 'D')
    },

    lock(number: string, writes: number) {
      locks.set(number, writes)
    },
  }
}

/* ---- orders and their names ---- */

const idOf = (order: ErpOrder): number => 100_000 + order.docEntry
const entryIdOf = (order: { docEntry: number }, lineNum: number): number =>
  (100_000 + order.docEntry) * 100 + lineNum + 1
const numberOf = (order: ErpOrder): string =>
  order.userFields.FBillNo ?? `XSDD${String(order.docEntry).padStart(6, '0')}`
/** Orders from elsewhere in the demo are either approved or in approval. */
const statusOf = (order: ErpOrder): string =>
  order.confirmed ? 'C' : (order.userFields.FDocumentStatus ?? 'B')

/** The server's wall clock, its trailing zeros cut. */
const localOf = (time: string): string =>
  new Date(Date.parse(time) + 8 * 3_600_000)
    .toISOString()
    .slice(0, -1)
    .replace(/\.?0+$/, (zeros) => (zeros.startsWith('.') ? '' : zeros))
    .replace(/(\.\d*[1-9])0+$/, '$1')
const midnight = (day: string): string => `${day}T00:00:00`
const blank = (text: string | null | undefined): string => text || ' '
const currencyNumber = (iso: string): string => CURRENCIES[iso] ?? iso
const withTax = (net: string): number => Number(new Big(net).times(new Big(TAX_PERCENT).plus(100)).div(100))

/** A record under the internal names, with localised texts. */
function viewOf(order: ErpOrder): unknown {
  return {
    Id: idOf(order),
    FFormId: 'SAL_SaleOrder',
    BillNo: numberOf(order),
    DocumentStatus: statusOf(order),
    CloseStatus: order.closed ? 'B' : 'A',
    CancelStatus: order.cancelled ? 'B' : 'A',
    Date: midnight(order.docDate),
    CustId: { Id: 1, Number: order.cardCode, Name: [{ Key: 2052, Value: order.cardName }] },
    ModifyDate: localOf(order.updatedAt),
    SaleOrderEntry: order.lines.map((line) => ({
      Id: entryIdOf(order, line.lineNum),
      Seq: line.lineNum + 1,
      Qty: Number(line.quantity),
      MaterialId: { Number: line.item, Name: [{ Key: 2052, Value: line.description }] },
    })),
  }
}

/** Terms of payment, by number. */
function termsIn(world: World, finance: Body): string | null {
  const terms = reference(finance.FRecConditionId)
  if (terms && !world.all('erpAccounts').some((one) => termsNumber(one) === terms)) {
    throw new Refusal(9, `收款条件${terms}不存在`, 'FRecConditionId')
  }
  return terms || null
}

/* ---- new orders ---- */

const RECEIVER_FIELDS = ['FReceiveAddress', 'FLinkMan', 'FLinkPhone']
const HEAD_FIELDS = [
  ...'FID FBillTypeID FBillNo FDate FSaleOrgId FCustId FSalerId FNetOrderBillNo FNote'.split(' '),
  ...RECEIVER_FIELDS,
  'FSaleOrderFinance',
  'FSaleOrderEntry',
]
const ENTRY_FIELDS =
  'FEntryID FMaterialId FUnitID FQty FPrice FTaxPrice FEntryTaxRate FDiscountRate FDeliveryDate FSOStockId FEntryNote'.split(
    ' ',
  )
const FINANCE_FIELDS = 'FSettleCurrId FIsIncludedTax FExchangeRate FRecConditionId FSettleModeId'.split(' ')
const SETTLE_MODES = ['JSFS01_SYS', 'JSFS04_SYS']

function readModel(
  model: Body,
  world: World,
  ownFields: readonly string[],
  unallocated: ReadonlySet<string>,
) {
  const entryOwn = ownEntryFields(ownFields)
  for (const name of Object.keys(model)) checkName(name, [...HEAD_FIELDS, ...ownFields])
  if (!reference(model.FBillTypeID)) throw new Refusal(9, '单据类型是必填项', 'FBillTypeID')
  if (reference(model.FSaleOrgId) !== ORGANIZATION) throw new Refusal(9, '销售组织是必填项', 'FSaleOrgId')
  const account = accountOf(world, reference(model.FCustId))
  const finance = objectIn(model.FSaleOrderFinance, 'FSaleOrderFinance')
  for (const name of Object.keys(finance)) checkName(name, FINANCE_FIELDS)
  // Without one, the form takes the currency that the customer trades in.
  const currency =
    finance.FSettleCurrId === undefined
      ? account.currency
      : Object.entries(CURRENCIES).find(([, number]) => number === reference(finance.FSettleCurrId))?.[0]
  if (!currency) throw new Refusal(9, '结算币别是必填项', 'FSettleCurrId')
  const terms = termsIn(world, finance)
  const mode = reference(finance.FSettleModeId)
  if (mode && !SETTLE_MODES.includes(mode)) throw new Refusal(9, `结算方式${mode}不存在`, 'FSettleModeId')
  const entries = Array.isArray(model.FSaleOrderEntry) ? (model.FSaleOrderEntry as Body[]) : []
  if (entries.length === 0) throw new Refusal(9, '分录不能为空', 'FSaleOrderEntry')
  const days = entries.map((entry) => dayIn(entry.FDeliveryDate, 'FDeliveryDate'))
  const number = textIn(model.FBillNo)
  if (number !== null && number.length > 30) throw new Refusal(11, '单据编号超长', 'FBillNo')
  return {
    cardCode: account.cardCode,
    currency,
    docDate: dayIn(model.FDate, 'FDate'),
    dueDate: days[0] as string,
    comments: textIn(model.FNote),
    number: number ?? undefined,
    userFields: {
      ...Object.fromEntries(
        ['FNetOrderBillNo', ...RECEIVER_FIELDS, ...ownFields].map((name) => [name, textIn(model[name])]),
      ),
      ...(terms ? { FRecConditionId: terms } : {}),
      ...(mode ? { FSettleModeId: mode } : {}),
      ...Object.fromEntries(
        entries.flatMap((entry, at) =>
          ['FEntryNote', ...entryOwn].map((name) => [`${at}.${name}`, textIn(entry[name])]),
        ),
      ),
    } as Record<string, string | null>,
    lines: entries.map((entry, at) => {
      for (const name of Object.keys(entry)) checkName(name, [...ENTRY_FIELDS, ...entryOwn])
      const place = `第${at + 1}行分录`
      const item = itemOf(world, reference(entry.FMaterialId), place, unallocated)
      const unit = reference(entry.FUnitID)
      if (unit && unit !== item.unit) throw new Refusal(11, `${place}：单位${unit}与物料不符`, 'FUnitID')
      const warehouse = reference(entry.FSOStockId) || '01'
      if (!world.get('erpWarehouses', warehouse)) throw new Refusal(11, `${place}：仓库不存在`, 'FSOStockId')
      const taxPrice = amountIn(entry.FTaxPrice, place, 'FTaxPrice')
      const price =
        amountIn(entry.FPrice, place, 'FPrice') ??
        (taxPrice && new Big(taxPrice).times(100).div(new Big(TAX_PERCENT).plus(100)).toFixed(4))
      const discountPercent = amountIn(entry.FDiscountRate, place, 'FDiscountRate')
      return {
        item: item.code,
        quantity: quantityIn(entry.FQty, place),
        warehouse,
        ...(price === undefined ? {} : { price }),
        ...(discountPercent === undefined ? {} : { discountPercent }),
      }
    }),
  }
}

/** The flat push of the profile galaxy: keys are texts, and the amount must be that of quantity and price. */
function readFlat(model: Body, world: World, unallocated: ReadonlySet<string>) {
  for (const name of Object.keys(model)) checkName(name, ['FBillNo', 'FCustomerId', 'FDate', 'FEntity'])
  const account = accountOf(world, textIn(model.FCustomerId) ?? '')
  const entries = Array.isArray(model.FEntity) ? (model.FEntity as Body[]) : []
  if (entries.length === 0) throw new Refusal(9, '分录不能为空', 'FEntity')
  const docDate = dayIn(model.FDate, 'FDate')
  return {
    cardCode: account.cardCode,
    currency: 'CNY',
    docDate,
    dueDate:
      entries[0]?.FDeliveryDate === undefined ? docDate : dayIn(entries[0].FDeliveryDate, 'FDeliveryDate'),
    number: textIn(model.FBillNo) ?? undefined,
    userFields: {} as Record<string, string | null>,
    lines: entries.map((entry, at) => {
      for (const name of Object.keys(entry)) {
        checkName(name, ['FMaterialId', 'FQty', 'FPrice', 'FAmount', 'FDeliveryDate'])
      }
      const place = `第${at + 1}行分录`
      const item = itemOf(world, textIn(entry.FMaterialId) ?? '', place, unallocated)
      const quantity = quantityIn(entry.FQty, place)
      const price = amountIn(entry.FPrice, place, 'FPrice')
      const amount = amountIn(entry.FAmount, place, 'FAmount')
      if (price !== undefined && amount !== undefined && !new Big(price).times(quantity).eq(amount)) {
        throw new Refusal(11, `${place}：金额不等于数量乘以单价`, 'FAmount')
      }
      return { item: item.code, quantity, warehouse: '01', ...(price === undefined ? {} : { price }) }
    }),
  }
}

/** Fields that the company added to entries. */
const ownEntryFields = (ownFields: readonly string[]): string[] =>
  ownFields.length === 0 ? [] : ['F_TRB_LineTag']

const termsNumber = ({ paymentTerms: { code } }: ErpAccount): string =>
  `SKTJ${String(code + 2).padStart(2, '0')}_SYS`

function accountOf(world: World, number: string): ErpAccount {
  const account = world.get('erpAccounts', number)
  if (!account) throw new Refusal(9, '客户是必填项', 'FCustId')
  if (account.frozen) throw new Refusal(11, `客户${number}已禁用`, 'FCustId')
  return account
}

function itemOf(world: World, number: string, place: string, unallocated: ReadonlySet<string>) {
  const item = world.get('erpItems', number)
  if (!item) throw new Refusal(9, `${place}：物料编码是必填项`, 'FMaterialId')
  if (!item.active) throw new Refusal(11, `${place}：物料${number}已禁用`, 'FMaterialId')
  if (unallocated.has(number))
    throw new Refusal(11, `${place}：物料${number}未分配到组织${ORGANIZATION}`, 'FMaterialId')
  return item
}

function checkName(name: string, known: readonly string[]): void {
  if (!known.includes(name)) throw new Refusal(9, `元数据中标识为${name}的字段不存在`)
}

function objectIn(value: unknown, name: string): Body {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Body
  throw new Refusal(8, `${name}参数无效`)
}

/** A reference to basic data, by its number. */
function reference(value: unknown): string {
  if (typeof value !== 'object' || value === null) return ''
  const { FNumber, FNUMBER } = value as Body
  return String(FNumber ?? FNUMBER ?? '')
}

function quantityIn(value: unknown, place: string): string {
  const quantity = amountIn(value, place, 'FQty') ?? '0'
  if (new Big(quantity).lte(0)) throw new Refusal(11, `${place}：数量必须大于0`, 'FQty')
  return quantity
}

function amountIn(value: unknown, place: string, field: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const text = String(value)
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new Refusal(11, `${place}：${field}不是数字`, field)
  return text
}

function textIn(value: unknown): string | null {
  return typeof value === 'string' && value.trim() !== '' ? value : null
}

function dayIn(value: unknown, field: string): string {
  const day = /^(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d)?)?$/.exec(String(value))?.[1]
  if (day === undefined || Number.isNaN(Date.parse(day))) throw new Refusal(9, `${field}是必填项`, field)
  return day
}

/* ---- tables ---- */

function table<T>(
  entities: () => readonly T[],
  head: (entity: T, place: number) => Values,
  entries: (entity: T, place: number) => readonly Values[],
  names: { head: readonly string[]; entry: readonly string[] },
): Table {
  return {
    ...names,
    documents: () =>
      entities().map((entity, place) => ({ head: head(entity, place), entries: entries(entity, place) })),
  }
}

const none = () => []

/** By the vendor's form ids in lower case: they are compared without regard to case. */
function createTables(
  world: World,
  ownFields: readonly string[],
  unallocated: ReadonlySet<string>,
): Readonly<Record<string, Table>> {
  const stamps = (entity: { createdAt: string; updatedAt: string }): Values => ({
    FCreateDate: localOf(entity.createdAt),
    FModifyDate: localOf(entity.updatedAt),
  })

  /** The first customer is also known, under the same number, to the branch in another organisation. */
  const customers = () => {
    const own = world.all('erpAccounts').map((account) => ({ account, organization: ORGANIZATION }))
    const [first] = own
    return first
      ? [...own, { account: { ...first.account, name: '分公司的客户' }, organization: '200' }]
      : own
  }
  const customer = (
    { account, organization }: ReturnType<typeof customers>[number],
    place: number,
  ): Values => ({
    FCUSTID: organization === ORGANIZATION ? 200_001 + place : 200_000,
    FNumber: account.cardCode,
    FName: account.name,
    FShortName: ' ',
    FINVOICETITLE: blank(account.taxNumber && account.name),
    'FGROUPCUSTID.FNumber': account.cardCode.includes('-') ? (account.cardCode.split('-')[0] ?? null) : ' ',
    FINVOICEADDRESS: blank([account.city, account.street].filter(Boolean).join(' ')),
    'FSALDEPTID.FName': account.country === 'CN' ? '内销部' : '外销部',
    FTEL: blank(account.phone),
    FTAXREGISTERCODE: blank(account.taxNumber),
    FADDRESS: blank([account.city, account.street].filter(Boolean).join(' ')),
    FZIP: blank(account.zip),
    'FPROVINCIAL.FDataValue': null,
    'FCOUNTRY.FNumber': account.country === 'CN' ? 'China' : account.country,
    'FTRADINGCURRID.FNumber': currencyNumber(account.currency),
    'FRECCONDITIONID.FName': account.paymentTerms.name,
    FForbidStatus: account.frozen ? 'B' : 'A',
    FDocumentStatus: 'C',
    'FUseOrgId.FNumber': organization,
    F_TRB_Region: account.country === 'CN' ? '国内' : '海外',
    ...stamps(account),
  })

  const item = (entity: ReturnType<typeof world.all<'erpItems'>>[number], place: number): Values => ({
    FMATERIALID: 300_001 + place,
    FNumber: entity.code,
    FName: entity.name,
    FSpecification: blank(entity.foreignName),
    FDescription: ' ',
    'FMaterialGroup.FNumber': String(entity.group),
    'FMaterialGroup.FName': `物料组${entity.group}`,
    FRefCost: Number(new Big(entity.price).times('0.6').round(2)),
    'FTaxRateId.FTaxRate': Number(TAX_PERCENT),
    FOrderQty: entity.unit === '米' ? 10 : 0,
    FBARCODE: blank(entity.barcode),
    'FBaseUnitId.FNumber': entity.unit,
    FForbidStatus: entity.active ? 'A' : 'B',
    FDocumentStatus: 'C',
    'FUseOrgId.FNumber': unallocated.has(entity.code) ? '200' : ORGANIZATION,
    ...stamps(entity),
  })

  const warehouse = ({ code, name }: { code: string; name: string }, place: number): Values => ({
    FStockId: 400_001 + place,
    FNumber: code,
    FName: name,
    'FUseOrgId.FNumber': ORGANIZATION,
    FCreateDate: '2025-01-01T08:00:00',
    FModifyDate: '2025-01-01T08:00:00',
  })

  /** Every place has two lots, some goods still to be inspected, and some that belong to another owner. */
  const stock = () =>
    world.all('erpStock').flatMap(({ id, item: code, warehouse: place, inStock, committed }) => {
      const first = new Big(inStock).div(3).round(0, Big.roundDown)
      const rest = new Big(inStock).minus(first)
      const row = (
        lot: string,
        quantity: Big,
        available: Big,
        status = 'KCZT01_SYS',
        owner = ORGANIZATION,
      ): Values => ({
        FID: createHash('md5').update(`${id}/${lot}/${status}/${owner}`).digest('hex'),
        'FMaterialId.FNumber': code,
        'FStockId.FNumber': place,
        'FStockOrgId.FNumber': ORGANIZATION,
        'FLot.FNumber': lot,
        FQty: Number(quantity),
        FBaseQty: Number(quantity),
        FAVBQty: Number(available),
        'FStockUnitId.FNumber': world.get('erpItems', code)?.unit ?? null,
        'FBaseUnitId.FNumber': world.get('erpItems', code)?.unit ?? null,
        'FStockStatusId.FNumber': status,
        'FOwnerId.FNumber': owner,
      })
      return [
        row('20260101', first, first),
        row('20260301', rest, rest.minus(committed)),
        row('20260301', new Big(5), new Big(0), 'KCZT02_SYS'),
        row('20260301', new Big(7), new Big(7), 'KCZT01_SYS', 'VMI-9'),
      ]
    })

  /** Stored entities are never mutated: what was made of one stays right. */
  const once = <T extends object, R>(make: (entity: T) => R) => {
    const made = new WeakMap<T, R>()
    return (entity: T): R => {
      const result = made.get(entity) ?? make(entity)
      made.set(entity, result)
      return result
    }
  }

  const addressOf = ({ cardCode }: ErpOrder): string => {
    const account = world.get('erpAccounts', cardCode)
    return [account?.city, account?.street].filter(Boolean).join(' ')
  }
  const accountTerms = ({ cardCode }: ErpOrder): string | null => {
    const account = world.get('erpAccounts', cardCode)
    return account ? termsNumber(account) : null
  }
  /** What of a line was billed: an order is billed whole. */
  const isBilled = (entity: ErpOrder): boolean =>
    world.find('financeInvoices', 'orderNo', String(entity.docNum))?.cancelled === false

  const order = (entity: ErpOrder): Values => ({
    FID: idOf(entity),
    FBillNo: numberOf(entity),
    FDate: midnight(entity.docDate),
    FDocumentStatus: statusOf(entity),
    FCloseStatus: entity.closed ? 'B' : 'A',
    FCancelStatus: entity.cancelled ? 'B' : 'A',
    'FCustId.FNumber': entity.cardCode,
    'FCustId.FName': entity.cardName,
    'FSaleOrgId.FNumber': ORGANIZATION,
    'FSalerId.FNumber': null,
    'FBillTypeID.FNumber': 'XSDD01_SYS',
    'FReceiveId.FNumber': entity.cardCode,
    'FReceiveId.FName': entity.cardName,
    'FSettleId.FNumber': entity.cardCode,
    'FChargeId.FNumber': entity.cardCode,
    FReceiveAddress: blank(entity.userFields.FReceiveAddress ?? addressOf(entity)),
    FLinkMan: blank(entity.userFields.FLinkMan),
    FLinkPhone: blank(entity.userFields.FLinkPhone),
    'FRecConditionId.FNumber': entity.userFields.FRecConditionId ?? accountTerms(entity),
    'FSettleModeId.FNumber': blank(entity.userFields.FSettleModeId),
    FApproveDate: statusOf(entity) === 'C' ? localOf(entity.createdAt) : null,
    'FCreatorId.FName': 'demo',
    FNote: blank(entity.comments),
    FNetOrderBillNo: blank(entity.userFields.FNetOrderBillNo),
    'FSettleCurrId.FNumber': currencyNumber(entity.currency),
    FExchangeRate: Number(entity.rate),
    FIsIncludedTax: entity.userFields.FIsIncludedTax === 'true',
    FBillAmount: Number(new Big(entity.gross).minus(entity.tax)),
    FBillTaxAmount: Number(entity.tax),
    FBillAllAmount: Number(entity.gross),
    FBillAmount_LC: Number(new Big(entity.companyGross).minus(entity.companyTax)),
    FBillTaxAmount_LC: Number(entity.companyTax),
    FBillAllAmount_LC: Number(entity.companyGross),
    ...stamps(entity),
    ...Object.fromEntries(ownFields.map((name) => [name, blank(entity.userFields[name])])),
  })
  const entriesOf =
    (billed: boolean) =>
    (entity: ErpOrder): Values[] =>
      entity.lines.map((line) => ({
        FSaleOrderEntry_FEntryID: entryIdOf(entity, line.lineNum),
        FSaleOrderEntry_FSeq: line.lineNum + 1,
        'FMaterialId.FNumber': line.item,
        'FMaterialId.FName': line.description,
        'FUnitID.FNumber': world.get('erpItems', line.item)?.unit ?? null,
        FQty: Number(line.quantity),
        FStockOutQty: Number(new Big(line.quantity).minus(line.open)),
        FInvoiceQty: billed ? Number(line.quantity) : 0,
        FReturnQty: 0,
        FRemainOutQty: Number(line.open),
        FPrice: Number(line.unitPrice),
        FTaxPrice: withTax(line.unitPrice),
        FDiscountRate: Number(line.discountPercent),
        FAmount: Number(line.total),
        FAllAmount: withTax(line.total),
        FEntryTaxRate: Number(line.taxPercent),
        FEntryTaxAmount: Number(new Big(withTax(line.total)).minus(line.total)),
        FEntryNote: blank(entity.userFields[`${line.lineNum}.FEntryNote`]),
        ...Object.fromEntries(
          ownEntryFields(ownFields).map((name) => [
            name,
            blank(entity.userFields[`${line.lineNum}.${name}`]),
          ]),
        ),
        FSrcBillNo: blank(entity.userFields.FSrcBillNo),
        FSrcType: entity.userFields.FSrcBillNo ? 'SAL_QUOTATION' : ' ',
        FMrpFreezeStatus: entity.userFields[`${line.lineNum}.FMrpFreezeStatus`] ?? 'A',
        FMrpTerminateStatus: entity.userFields[`${line.lineNum}.FMrpTerminateStatus`] ?? 'A',
        FDeliveryDate: midnight(entity.dueDate),
        'FSOStockId.FNumber': line.warehouse,
        FMrpCloseStatus: entity.closed || new Big(line.open).eq(0) ? 'B' : 'A',
      }))

  const billedEntries = once(entriesOf(true))
  const unbilledEntries = once(entriesOf(false))
  const orderEntries = (entity: ErpOrder) =>
    isBilled(entity) ? billedEntries(entity) : unbilledEntries(entity)

  const delivery = (entity: ReturnType<typeof world.all<'erpDeliveries'>>[number]): Values => ({
    FID: 500_000 + entity.docEntry,
    FBillNo: `XSCKD${String(entity.docEntry).padStart(6, '0')}`,
    FDate: midnight(entity.docDate),
    FDocumentStatus: 'C',
    FCancelStatus: entity.cancelled ? 'B' : 'A',
    'FCustomerID.FNumber': entity.cardCode,
    'FReceiverID.FNumber': entity.cardCode,
    FReceiveAddress: blank(addressOf({ cardCode: entity.cardCode } as ErpOrder)),
    FLinkMan: ' ',
    FLinkPhone: blank(world.get('erpAccounts', entity.cardCode)?.phone),
    'FCarrierID.FName': '德邦',
    FCarriageNO: `DPK${String(entity.docEntry).padStart(9, '0')}`,
    'FSaleOrgId.FNumber': ORGANIZATION,
    ...stamps(entity),
  })
  const deliveryEntries = (entity: ReturnType<typeof world.all<'erpDeliveries'>>[number]): Values[] =>
    entity.lines.map((line) => {
      const base = world.get('erpOrders', String(line.baseEntry))
      return {
        FEntity_FENTRYID: (500_000 + entity.docEntry) * 100 + line.lineNum + 1,
        'FMaterialID.FNumber': line.item,
        'FMaterialID.FName': line.description,
        'FUnitID.FNumber': world.get('erpItems', line.item)?.unit ?? null,
        FRealQty: Number(line.quantity),
        'FStockID.FNumber': line.warehouse,
        FSoorDerno: base ? numberOf(base) : ' ',
        FSOEntryId: base ? entryIdOf(base, line.baseLine) : 0,
      }
    })

  const customerOf = (customerNo: string, currency: string): string | null => {
    const taxNumber = world.get('financeCustomers', customerNo)?.taxNumber
    const accounts = world.all('erpAccounts').filter((account) => account.taxNumber === taxNumber)
    return (accounts.find((account) => account.currency === currency) ?? accounts[0])?.cardCode ?? null
  }
  const invoice = (
    entity: ReturnType<typeof world.all<'financeInvoices'>>[number],
    place: number,
  ): Values => ({
    FID: 600_001 + place,
    FBillNo: `AR${String(place + 1).padStart(8, '0')}`,
    FDate: midnight(entity.issueDate),
    FENDDATE_H: midnight(entity.dueDate),
    FDocumentStatus: 'C',
    FCancelStatus: entity.cancelled ? 'B' : 'A',
    FWRITTENOFFSTATUS: new Big(entity.paid).eq(0) ? 'A' : new Big(entity.paid).gte(entity.gross) ? 'C' : 'B',
    'FCUSTOMERID.FNumber': customerOf(entity.customerNo, entity.currency),
    'FCURRENCYID.FNumber': currencyNumber(entity.currency),
    FALLAMOUNTFOR: Number(entity.gross),
    FISTAX: false,
    'FSETTLEORGID.FNumber': ORGANIZATION,
    ...stamps(entity),
  })
  /** The collection is planned in two parts. */
  const invoicePlan = (
    entity: ReturnType<typeof world.all<'financeInvoices'>>[number],
    place: number,
  ): Values[] => {
    const open = new Big(entity.gross).minus(entity.paid)
    const first = open.div(2).round(2, Big.roundDown)
    return [first, open.minus(first)].map((part, at) => ({
      FEntityPlan_FEntryID: (600_001 + place) * 100 + at + 1,
      FNOTVERIFICATEAMOUNT: Number(part),
    }))
  }

  /** The accounting form bills in the words of sales: prices with and without tax, and whose order it was. */
  const invoiceDetail = (
    entity: ReturnType<typeof world.all<'financeInvoices'>>[number],
    place: number,
  ): Values[] => {
    const base = world.all('erpOrders').find((one) => String(one.docNum) === entity.orderNo)
    return entity.lines.map((line) => {
      const sold = base?.lines.find((one) => one.lineNum === line.lineNo - 1)
      const gross = withTax(line.net)
      return {
        FEntityDetail_FEntryID: (600_001 + place) * 100 + 50 + line.lineNo,
        'FMATERIALID.FNumber': sold?.item ?? null,
        'FMATERIALID.FName': line.text,
        'FPRICEUNITID.FNumber': world.get('erpItems', sold?.item ?? '')?.unit ?? null,
        FPriceQty: Number(line.quantity),
        FPrice: Number(sold?.price ?? 0),
        FTaxPrice: withTax(sold?.price ?? '0'),
        FEntryTaxRate: Number(TAX_PERCENT),
        FNoTaxAmountFor_D: Number(line.net),
        FTAXAMOUNTFOR_D: Number(new Big(gross).minus(line.net)),
        FALLAMOUNTFOR_D: gross,
        FORDERNUMBER: base ? numberOf(base) : ' ',
      }
    })
  }
  /** A tax invoice is made for what was paid in part or whole, the same day. */
  const slips = () =>
    world
      .all('financeInvoices')
      .flatMap((entity, place) => (new Big(entity.paid).gt(0) ? [{ entity, place }] : []))
  const slip = ({ entity, place }: ReturnType<typeof slips>[number]): Values => ({
    FID: 700_001 + place,
    FBillNo: `XSZP${String(place + 1).padStart(8, '0')}`,
    FINVOICENO: `2531200000${String(place + 1).padStart(10, '0')}`,
    FINVOICEDATE: midnight(entity.issueDate),
    FCancelStatus: 'A',
  })
  const slipEntries = ({ place }: ReturnType<typeof slips>[number]): Values[] => [
    { FSRCBILLNO: `AR${String(place + 1).padStart(8, '0')}` },
  ]
  const prices = (): Values[] =>
    world.all('erpItems').flatMap((entity) => [
      {
        'FMaterialId.FNumber': entity.code,
        FPrice: Number(entity.price),
        FFromQty: 0,
        FEntryEffectiveDate: '2026-01-01T00:00:00',
        FEntryExpiryDate: '2100-01-01T00:00:00',
        FEntryForbidStatus: 'A',
      },
      {
        'FMaterialId.FNumber': entity.code,
        FPrice: Number(new Big(entity.price).times('0.5').round(2)),
        FFromQty: 0,
        FEntryEffectiveDate: '2025-01-01T00:00:00',
        FEntryExpiryDate: '2026-01-01T00:00:00',
        FEntryForbidStatus: 'A',
      },
    ])

  const names = (head: string, entry = '') => ({
    head: head.split(' '),
    entry: entry === '' ? [] : entry.split(' '),
  })
  return {
    bd_customer: table(
      customers,
      customer,
      none,
      names(
        'FCUSTID FNumber FName FShortName FINVOICETITLE FGROUPCUSTID.FNumber FINVOICEADDRESS FSALDEPTID.FName FTEL FTAXREGISTERCODE FADDRESS FZIP FPROVINCIAL.FDataValue FCOUNTRY.FNumber FTRADINGCURRID.FNumber FRECCONDITIONID.FName FForbidStatus FDocumentStatus FUseOrgId.FNumber FCreateDate FModifyDate F_TRB_Region',
      ),
    ),
    bd_material: table(
      () => world.all('erpItems'),
      item,
      none,
      names(
        'FMATERIALID FNumber FName FSpecification FDescription FMaterialGroup.FNumber FMaterialGroup.FName FRefCost FTaxRateId.FTaxRate FOrderQty FBARCODE FBaseUnitId.FNumber FForbidStatus FDocumentStatus FUseOrgId.FNumber FCreateDate FModifyDate',
      ),
    ),
    bd_stock: table(
      () => world.all('erpWarehouses'),
      warehouse,
      none,
      names('FStockId FNumber FName FUseOrgId.FNumber FCreateDate FModifyDate'),
    ),
    stk_inventory: table(
      stock,
      (row) => row,
      none,
      names(
        'FID FMaterialId.FNumber FStockId.FNumber FStockOrgId.FNumber FLot.FNumber FQty FBaseQty FAVBQty FStockUnitId.FNumber FBaseUnitId.FNumber FStockStatusId.FNumber FOwnerId.FNumber',
      ),
    ),
    sal_saleorder: table(
      () => world.all('erpOrders'),
      once(order),
      orderEntries,
      names(
        `FID FBillNo FDate FBillTypeID.FNumber FReceiveId.FNumber FReceiveId.FName FSettleId.FNumber FChargeId.FNumber FReceiveAddress FLinkMan FLinkPhone FRecConditionId.FNumber FSettleModeId.FNumber FApproveDate FCreatorId.FName FDocumentStatus FCloseStatus FCancelStatus FCustId.FNumber FCustId.FName FSaleOrgId.FNumber FSalerId.FNumber FNote FNetOrderBillNo FSettleCurrId.FNumber FExchangeRate FIsIncludedTax FBillAmount FBillTaxAmount FBillAllAmount FBillAmount_LC FBillTaxAmount_LC FBillAllAmount_LC FCreateDate FModifyDate${ownFields.map((name) => ` ${name}`).join('')}`,
        `FSaleOrderEntry_FEntryID FSaleOrderEntry_FSeq FMaterialId.FNumber FMaterialId.FName FUnitID.FNumber FQty FStockOutQty FRemainOutQty FInvoiceQty FReturnQty FPrice FTaxPrice FDiscountRate FAmount FAllAmount FEntryTaxRate FEntryTaxAmount FEntryNote FSrcBillNo FSrcType FDeliveryDate FSOStockId.FNumber FMrpCloseStatus FMrpFreezeStatus FMrpTerminateStatus${ownEntryFields(
          ownFields,
        )
          .map((name) => ` ${name}`)
          .join('')}`,
      ),
    ),
    sal_outstock: table(
      () => world.all('erpDeliveries'),
      once(delivery),
      once(deliveryEntries),
      names(
        'FID FBillNo FDate FDocumentStatus FCancelStatus FCustomerID.FNumber FReceiverID.FNumber FReceiveAddress FLinkMan FLinkPhone FCarrierID.FName FCarriageNO FSaleOrgId.FNumber FCreateDate FModifyDate',
        'FEntity_FENTRYID FMaterialID.FNumber FMaterialID.FName FUnitID.FNumber FRealQty FStockID.FNumber FSoorDerno FSOEntryId',
      ),
    ),
    ar_receivable: table(
      () => world.all('financeInvoices'),
      invoice,
      invoicePlan,
      names(
        'FID FBillNo FDate FENDDATE_H FDocumentStatus FCancelStatus FWRITTENOFFSTATUS FCUSTOMERID.FNumber FCURRENCYID.FNumber FALLAMOUNTFOR FISTAX FSETTLEORGID.FNumber FCreateDate FModifyDate',
        'FEntityPlan_FEntryID FNOTVERIFICATEAMOUNT',
      ),
    ),
    'ar_receivable/detail': table(
      () => world.all('financeInvoices'),
      invoice,
      invoiceDetail,
      names(
        'FID FBillNo FDate FCURRENCYID.FNumber FISTAX FSETTLEORGID.FNumber',
        'FEntityDetail_FEntryID FMATERIALID.FNumber FMATERIALID.FName FPRICEUNITID.FNumber FPriceQty FPrice FTaxPrice FEntryTaxRate FNoTaxAmountFor_D FTAXAMOUNTFOR_D FALLAMOUNTFOR_D FORDERNUMBER',
      ),
    ),
    iv_salesic: table(
      slips,
      slip,
      slipEntries,
      names('FID FBillNo FINVOICENO FINVOICEDATE FCancelStatus', 'FSRCBILLNO'),
    ),
    bd_sal_pricelist: table(
      () => [{ FID: 800_001, FNumber: 'XSJM0001', 'FCurrencyId.FNumber': 'PRE001', FIsIncludedTax: false }],
      (row) => row,
      prices,
      names(
        'FID FNumber FCurrencyId.FNumber FIsIncludedTax',
        'FMaterialId.FNumber FPrice FFromQty FEntryEffectiveDate FEntryExpiryDate FEntryForbidStatus',
      ),
    ),
  }
}
