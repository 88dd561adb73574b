/**
 * An NC Cloud server on loopback: the ERP part of the demo world in the tables and the words of NC. It checks in the
 * vendor's order (business centre, application, secret, signature, token), takes nothing that is not packed and
 * signed as the application's level says, and refuses parameters and fields that it does not know.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createHash,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  randomBytes,
  randomUUID,
} from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import Big from 'big.js'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import { changeOrder, placeOrder } from '../../simulation/trade.ts'
import type { ErpAccount, ErpItem, ErpOrder, ErpOrderLine, World } from '../../simulation/world.ts'

export interface YonyouNcSimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `demo`. */
  readonly bizCenter?: string
  /** Default `ncdemo`. */
  readonly clientId?: string
  /** Default `demo`. */
  readonly clientSecret?: string
  /** Present: the application asks for tokens as a user. */
  readonly user?: { readonly name: string; readonly password: string }
  /** Default `new`: OAEP and salted signatures; `old`: PKCS#1 and signatures without salt. */
  readonly generation?: 'new' | 'old'
  /** Default as the generation. */
  readonly callSignature?: 'salted' | 'plain'
  /** Default L0. */
  readonly level?: 'L0' | 'L1' | 'L2' | 'L3' | 'L4'
  /** Default 1,000,000 s. */
  readonly tokenLifetimeMs?: number
  /** Rows are answered as a bare list. Default false: in `rows`, with a `total`. */
  readonly bareLists?: boolean
  /** New orders go into approval at once. Default false. */
  readonly approval?: boolean
  /** Looks for repetitions where it is asked to. Default true. */
  readonly repeatCheck?: boolean
  /** The accounting period of the company is closed up to this day. */
  readonly closedUpTo?: string
}

export interface YonyouNcSimulator extends Simulator {
  /** As the page of the registered application shows it. */
  readonly publicKey: string
  /** Every token given so far ends now. */
  expireTokens(): void
  /** Interfaces that the application may call; default: all. */
  grant(paths: readonly string[]): void
}

const ORG = '0001'
const OFFSET_MS = 8 * 3_600_000
const MAX_ROWS = 1000
const TRANSACTION_TYPES = new Set(['30-01', '30-Cxx-01'])
const DEPARTMENTS = new Set(['01', '02'])
const CURRENCIES = new Set(['CNY', 'USD', 'EUR', 'JPY', 'GBP'])

type Row = Record<string, unknown>

/** Said under HTTP 200. */
class Refusal extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}
const BUSINESS = '1000000001'
const CHECK = '1000000002'
const SECURITY = '1000000008'

const digest = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Made once: the application's key pair costs as much as many tests. */
let pair: { privateKey: KeyObject; publicText: string } | undefined
function keyPair() {
  if (pair) return pair
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const publicText = publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
  pair = { privateKey, publicText }
  return pair
}

export async function startYonyouNcSimulator(
  world: World,
  options: YonyouNcSimulatorOptions = {},
): Promise<YonyouNcSimulator> {
  const door = createDoor(options)
  const company = createCompany(world, options)
  let granted: readonly string[] | undefined

  const handle = (request: SimulatedRequest): SimulatedResponse => {
    let securityKey: string | undefined
    const answer = (body: Row): SimulatedResponse => {
      const text = JSON.stringify({ data: null, code: null, message: null, errorStack: null, ...body })
      return {
        status: 200,
        headers: { 'content-type': 'application/json;charset=UTF-8' },
        body: securityKey === undefined ? text : door.pack(text, securityKey),
      }
    }
    try {
      if (request.method !== 'POST') return { status: 405, body: '' }
      if (request.path === '/nccloud/opm/accesstoken')
        return answer({ success: true, data: door.token(request) })
      const call = door.open(request)
      securityKey = call.securityKey
      if (granted && !granted.includes(request.path)) {
        throw new Refusal('1000000010', `第三方应用${options.clientId ?? 'ncdemo'}没有${request.path}的权限`)
      }
      const data = company.serve(request.path, call.body, call.busiId)
      if (data === undefined) return { status: 404, body: '<html>404</html>' }
      return answer({ success: true, code: '1000000000', data })
    } catch (error) {
      if (error instanceof Refusal)
        return answer({ success: false, code: error.code, message: error.message })
      throw error
    }
  }

  const server = await startSimulatorServer({
    handle,
    ...(options.port === undefined ? {} : { port: options.port }),
  })
  return Object.assign(server, {
    publicKey: keyPair().publicText,
    expireTokens: door.expire,
    grant: (paths: readonly string[]) => {
      granted = paths
    },
  })
}

/* ---- the door: OpenCloudLoginFilter, OpenCloudSecurityFilter ---- */

function createDoor(options: YonyouNcSimulatorOptions) {
  const clientId = options.clientId ?? 'ncdemo'
  const secret = options.clientSecret ?? 'demo'
  const level = options.level ?? 'L0'
  const isOld = options.generation === 'old'
  const callSalted = options.callSignature ? options.callSignature === 'salted' : !isOld
  const { privateKey, publicText } = keyPair()
  const once = createHash('sha1').update(publicText).digest()
  const salt = createHash('sha1').update(once).digest().subarray(0, 16).toString('base64')
  const tokens = new Map<string, { endsAt: number; securityKey: string }>()

  const decrypt = (text: string): string => {
    const data = Buffer.from(text, 'base64')
    if (data.length === 0 || data.length % 256 !== 0) throw new Refusal(SECURITY, 'Decryption error')
    const scheme = isOld
      ? { key: privateKey, padding: constants.RSA_PKCS1_PADDING }
      : { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' }
    try {
      const pieces: Buffer[] = []
      for (let at = 0; at < data.length; at += 256) {
        pieces.push(privateDecrypt(scheme, data.subarray(at, at + 256)))
      }
      return Buffer.concat(pieces).toString('utf8')
    } catch {
      throw new Refusal(SECURITY, 'Decryption error')
    }
  }

  const crypt = (
    make: typeof createCipheriv | typeof createDecipheriv,
    key: string,
    data: Buffer,
  ): Buffer => {
    const machine = make('aes-128-ctr', Buffer.from(key, 'base64'), Buffer.from(key.substring(0, 16)))
    return Buffer.concat([machine.update(data), machine.final()])
  }
  const enc = (key: string, text: string) => crypt(createCipheriv, key, Buffer.from(text)).toString('base64')
  const dec = (key: string, text: string) =>
    crypt(createDecipheriv, key, Buffer.from(text, 'base64')).toString()
  const zip = (text: string) => gzipSync(text).toString('base64')
  const unzip = (text: string) => gunzipSync(Buffer.from(text, 'base64')).toString()

  const pack = (text: string, key: string): string => {
    if (level === 'L1') return enc(key, text)
    if (level === 'L2') return zip(text)
    if (level === 'L3') return enc(key, zip(text))
    if (level === 'L4') return zip(enc(key, text))
    return text
  }
  const unpack = (text: string, key: string): string => {
    try {
      if (level === 'L1') return dec(key, text)
      if (level === 'L2') return unzip(text)
      if (level === 'L3') return unzip(dec(key, text))
      if (level === 'L4') return dec(key, unzip(text))
      return text
    } catch {
      throw new Refusal(SECURITY, '解密失败')
    }
  }

  return {
    pack,

    token({ headers, query, body }: SimulatedRequest): Row {
      if (headers['content-type'] !== 'application/x-www-form-urlencoded' || body.length > 0) {
        throw new Refusal(SECURITY, 'invalid_request: Bad request content type')
      }
      const only = (name: string): string => {
        const all = query.getAll(name)
        if (all.length !== 1 || !all[0])
          throw new Refusal(SECURITY, `invalid_request: Missing parameters: ${name}`)
        return all[0]
      }
      if (only('biz_center') !== (options.bizCenter ?? 'demo')) {
        throw new Refusal(SECURITY, 'Invalid NCCloud busiCenter')
      }
      if (only('client_id') !== clientId) {
        throw new Refusal(SECURITY, 'Third-party applications are not registered')
      }
      if (decrypt(only('client_secret')) !== secret) {
        throw new Refusal(SECURITY, 'Third-party applications are not authorized')
      }
      const grant = only('grant_type')
      if (grant !== (options.user ? 'password' : 'client_credentials')) {
        throw new Refusal(SECURITY, 'unsupported_grant_type')
      }
      let signed = clientId + secret
      if (options.user) {
        const { name, password } = options.user
        if (only('username') !== name || decrypt(only('password')) !== password) {
          throw new Refusal(SECURITY, '用户名或密码错误')
        }
        signed += name + password
      }
      if (only('signature') !== digest(signed + publicText + (isOld ? '' : salt))) {
        throw new Refusal(SECURITY, 'Failed to verify signature for get token')
      }
      const known = ['biz_center', 'client_id', 'client_secret', 'grant_type', 'username', 'password']
      for (const name of query.keys()) {
        if (![...known, 'signature', 'dsname'].includes(name)) {
          throw new Refusal(SECURITY, `invalid_request: ${name}`)
        }
      }
      const id = randomUUID().replaceAll('-', '')
      const lifeMs = options.tokenLifetimeMs ?? 1_000_000_000
      // A new token ends the key of the old one, and the old one with it.
      tokens.clear()
      const securityKey = randomBytes(16).toString('base64')
      tokens.set(id, { endsAt: Date.now() + lifeMs, securityKey })
      return {
        access_token: id,
        expires_in: Math.round(lifeMs / 1000),
        security_key: securityKey,
        security_level: level,
        refresh_token: randomUUID(),
      }
    },

    open({ headers, body, path }: SimulatedRequest): { body: Row; securityKey: string; busiId?: string } {
      const header = (name: string): string => {
        const value = headers[name]
        return typeof value === 'string' ? value : ''
      }
      if (header('content-length') === '') throw new Refusal(SECURITY, 'content is null')
      if (header('ucg_flag') !== 'y') throw new Refusal(SECURITY, 'ucg_flag is missing')
      if (header('client_id') === '') throw new Refusal(SECURITY, 'appid参数缺失')
      if (header('client_id') !== clientId) {
        throw new Refusal(SECURITY, 'Third-party applications are not registered')
      }
      const token = tokens.get(header('access_token'))
      if (!token || token.endsAt < Date.now()) throw new Refusal(BUSINESS, 'The access_token has expired')
      const text = unpack(body.toString('utf8'), token.securityKey)
      if (header('signature') !== digest(clientId + text + publicText + (callSalted ? salt : ''))) {
        throw new Refusal(SECURITY, `Failed to verify signature for call api ${path}`)
      }
      if (!header('content-type').startsWith('application/json')) throw new Refusal(SECURITY, '请求格式错误')
      const busiId = header('busi_id')
      if (header('repeat_check') === 'Y' && busiId === '') throw new Refusal(CHECK, 'busi_id参数缺失')
      let parsed: unknown
      try {
        parsed = JSON.parse(text)
      } catch {
        throw new Refusal(CHECK, 'JSON解析异常')
      }
      const isChecked = header('repeat_check') === 'Y' && options.repeatCheck !== false
      return { body: parsed as Row, securityKey: token.securityKey, ...(isChecked ? { busiId } : {}) }
    },

    expire() {
      for (const token of tokens.values()) token.endsAt = 0
    },
  }
}

/* ---- the company ---- */

const local = (time: string): string =>
  new Date(Date.parse(time) + OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ')

const numberOf = (order: ErpOrder): string => `SO3020260${String(order.docNum).padStart(8, '0')}`

type Test = (row: Row, values: readonly string[]) => boolean
const isIn =
  (name: string): Test =>
  (row, values) =>
    values.includes(String(row[name] ?? ''))
const TIMES: Readonly<Record<string, Test>> = {
  ts_begin: (row, [from = '']) => String(row.ts) >= from,
  ts_end: (row, [to = '']) => String(row.ts) <= to,
}
const NAME: Test = (row, [part = '']) => String(row.name).includes(part)

function createCompany(world: World, options: YonyouNcSimulatorOptions) {
  const used = new Set<string>()

  const customer = (account: ErpAccount): Row => ({
    pk_customer: `1001A1${account.cardCode.padStart(14, '0')}`,
    pk_org: ORG,
    code: account.cardCode,
    name: account.name,
    shortname: account.name.slice(0, 20),
    taxpayerid: account.taxNumber,
    tel1: account.phone,
    email: account.email,
    corpaddress: account.street,
    pk_currtype: account.currency,
    pk_customer_main: account.cardCode.includes('-') ? account.cardCode.split('-')[0] : null,
    def3: account.country === 'CN' ? '国内' : '国外',
    enablestate: account.frozen ? 3 : 2,
    creationtime: local(account.createdAt),
    modifiedtime: local(account.updatedAt),
    ts: local(account.updatedAt),
    dr: 0,
  })

  const material = (item: ErpItem): Row => ({
    pk_material: `1001A2${item.code.padStart(14, '0')}`,
    pk_org: ORG,
    code: item.code,
    name: item.name,
    ename: item.foreignName,
    materialbarcode: item.barcode,
    pk_measdoc: item.unit,
    pk_marbasclass: String(item.group),
    materialspec: item.foreignName.split(' ').at(-1),
    materialtype: null,
    memo: null,
    enablestate: item.active ? 2 : 3,
    creationtime: local(item.createdAt),
    modifiedtime: local(item.updatedAt),
    ts: local(item.updatedAt),
    dr: 0,
  })

  const stateOf = (order: ErpOrder): number => {
    if (order.userFields.fstatusflag) return Number(order.userFields.fstatusflag)
    return order.cancelled ? 5 : order.confirmed ? 2 : 1
  }

  const head = (order: ErpOrder): Row => ({
    csaleorderid: `1001A3${String(order.docEntry).padStart(14, '0')}`,
    pk_org: ORG,
    vbillcode: numberOf(order),
    vtrantypecode: '30-01',
    dbilldate: `${order.docDate} 10:00:00`,
    ccustomerid: order.cardCode,
    cdeptid: '01',
    cchanneltypeid: null,
    cinvoicecustid: order.cardCode,
    chreceivecustid: order.cardCode,
    cpaytermid: order.userFields.cpaytermid ?? null,
    cbalancetypeid: order.userFields.cbalancetypeid ?? null,
    nreceivedmny: 0,
    billmaker: 'demo',
    approver: stateOf(order) === 2 ? 'demo' : null,
    taudittime: stateOf(order) === 2 ? local(order.createdAt) : null,
    corigcurrencyid: order.currency,
    ntotalorigmny: Number(order.gross),
    fstatusflag: stateOf(order),
    vnote: order.comments,
    ...Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => [`vdef${at + 1}`, order.userFields[`vdef${at + 1}`] ?? null]),
    ),
    vdef1: order.numAtCard ?? order.userFields.vdef1 ?? null,
    creationtime: local(order.createdAt),
    modifiedtime: local(order.updatedAt),
    ts: local(order.updatedAt),
    dr: 0,
  })

  const line = (order: ErpOrder, one: ErpOrderLine): Row => ({
    csaleorderbid: `1001A4${String(order.docEntry).padStart(10, '0')}${String(one.lineNum).padStart(4, '0')}`,
    crowno: String((one.lineNum + 1) * 10),
    cmaterialid: one.item,
    cqtunitid: world.get('erpItems', one.item)?.unit ?? null,
    nqtunitnum: Number(one.quantity),
    nqtorigprice: Number(one.unitPrice),
    nitemdiscountrate: Number(new Big(100).minus(one.discountPercent)),
    ntaxrate: Number(one.taxPercent),
    norigmny: Number(one.total),
    norigtaxmny: Number(new Big(one.total).times(new Big(100).plus(one.taxPercent)).div(100)),
    vrownote: order.userFields[`${one.lineNum}.vrownote`] ?? null,
    vctcode: order.userFields.vctcode ?? null,
    vsrccode: order.userFields.vsrccode ?? null,
    vsrctype: order.userFields.vsrccode ? '4310' : null,
    ntotalinvoicenum: world.find('financeInvoices', 'orderNo', String(order.docNum))
      ? Number(one.quantity)
      : 0,
    ntotalreturnnum: 0,
    ...Object.fromEntries(
      Array.from({ length: 20 }, (_, at) => [
        `vbdef${at + 1}`,
        order.userFields[`${one.lineNum}.vbdef${at + 1}`] ?? null,
      ]),
    ),
    nmny: Number(one.companyTotal),
    nexchangerate: Number(order.rate),
    csendstordocid: one.warehouse,
    dsenddate: `${order.dueDate} 00:00:00`,
    frowstatus: stateOf(order),
    ntotaloutnum: Number(new Big(one.quantity).minus(one.open)),
    dr: 0,
  })

  const aggregate = (order: ErpOrder): Row => ({
    so_saleorder: head(order),
    so_saleorder_b: order.lines.map((one) => line(order, one)),
  })

  const query = (body: Row, rows: Row[], tests: Readonly<Record<string, Test>>, of: (row: Row) => Row) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body))
      throw new Refusal(CHECK, '参数格式错误')
    const { pageIndex, pageSize, ...conditions } = body
    const whole = (value: unknown) => /^[1-9]\d{0,5}$/.test(String(value))
    if (!whole(pageIndex) || !whole(pageSize) || Number(pageSize) > MAX_ROWS) {
      throw new Refusal(CHECK, '分页参数错误')
    }
    const all: Readonly<Record<string, Test>> = { pk_org: isIn('pk_org'), ...TIMES, ...tests }
    let found = rows
    for (const [name, value] of Object.entries(conditions)) {
      const test = all[name]
      if (!test) throw new Refusal(CHECK, `参数${name}不存在`)
      const values = [value].flat()
      if (values.some((one) => typeof one !== 'string')) throw new Refusal(CHECK, `参数${name}格式错误`)
      found = found.filter((row) => test(of(row), values as string[]))
    }
    const [index, size] = [Number(pageIndex), Number(pageSize)]
    const part = found.slice((index - 1) * size, index * size)
    return options.bareLists ? part : { total: found.length, rows: part }
  }

  /** Does something for the first call with this number, and refuses the others. */
  const once = <T>(busiId: string | undefined, work: () => T): T => {
    if (busiId !== undefined && used.has(busiId)) {
      throw new Refusal(BUSINESS, `busi_id[${busiId}]重复，请勿重复调用`)
    }
    const done = work()
    if (busiId !== undefined) used.add(busiId)
    return done
  }
  const headOf = (row: Row): Row => (row.so_saleorder ?? {}) as Row

  /** The order that a call speaks of, by its key, if it still has the time of change that the call knows. */
  const aggregateOf = (body: unknown, own: (row: Row) => Row): ErpOrder => {
    if (!Array.isArray(body) || body.length !== 1) throw new Refusal(CHECK, '请传入一张销售订单')
    const { pk_org: org, csaleorderid: id, vbillcode: code, ts } = own(body[0] as Row)
    if (org !== ORG) throw new Refusal(CHECK, '销售组织不能为空或不存在')
    const order = world
      .all('erpOrders')
      .find((one) => head(one).csaleorderid === id && numberOf(one) === code)
    if (!order) throw new Refusal(BUSINESS, `销售订单[${code}]不存在`)
    if (ts !== local(order.updatedAt)) throw new Refusal('1000000007', '单据已被他人修改，请刷新')
    if (order.cancelled || order.closed) throw new Refusal(BUSINESS, '订单已关闭，不能操作')
    return order
  }

  return {
    /** `undefined`: there is no such interface. */
    serve(path: string, body: Row, busiId: string | undefined): unknown {
      switch (path) {
        case '/nccloud/api/uapbd/customermanage/customer/query':
          return query(
            body,
            world.all('erpAccounts').map(customer),
            { code: isIn('code'), name: NAME },
            (row) => row,
          )
        case '/nccloud/api/uapbd/materialmanage/material/query':
          return query(
            body,
            world.all('erpItems').map(material),
            { code: isIn('code'), name: NAME },
            (row) => row,
          )
        case '/nccloud/api/so/saleorder/query':
          return query(
            body,
            world.all('erpOrders').map(aggregate),
            {
              vbillcode: isIn('vbillcode'),
              ccustomerid: isIn('ccustomerid'),
              ...Object.fromEntries(
                Array.from({ length: 20 }, (_, at) => [`vdef${at + 1}`, isIn(`vdef${at + 1}`)]),
              ),
            },
            (row) => row.so_saleorder as Row,
          )
        case '/nccloud/api/so/saleorder/save': {
          return once(busiId, () => save(world, body, options).map(aggregate))
        }
        case '/nccloud/api/so/saleorder/update':
          return once(busiId, () => [change(world, aggregateOf(body, headOf), body)].map(aggregate))
        case '/nccloud/api/so/saleorder/approve':
        case '/nccloud/api/so/saleorder/unapprove': {
          const isApproval = path.endsWith('/approve')
          return once(busiId, () => {
            const order = aggregateOf(body, (row) => row)
            const state = stateOf(order)
            if (isApproval && ![1, 8].includes(state)) throw new Refusal(BUSINESS, '只有自由态的单据才能审批')
            if (!isApproval && state !== 2) throw new Refusal(BUSINESS, '只有审批通过的单据才能取消审批')
            if (!isApproval && order.lines.some((one) => !new Big(one.open).eq(one.quantity))) {
              throw new Refusal(BUSINESS, '订单已有出库，不能取消审批')
            }
            const { fstatusflag: _, ...userFields } = order.userFields
            const waits = isApproval && options.approval
            const changed = changeOrder(world, order, {
              confirmed: isApproval && !waits,
              userFields: waits ? { ...userFields, fstatusflag: '7' } : userFields,
            })
            return [aggregate(changed)]
          })
        }
        default:
          return undefined
      }
    },
  }
}

/* ---- saving ---- */

/** What is not sent is left alone. */
function change(world: World, order: ErpOrder, body: unknown): ErpOrder {
  const state = order.userFields.fstatusflag ?? (order.confirmed ? '2' : '1')
  if (!['1', '8'].includes(state)) throw new Refusal(BUSINESS, '审批中或审批通过的单据不能修改')
  const { so_saleorder: head, so_saleorder_b: rows = [] } = (body as Row[])[0] as Row
  const known = new Set(['pk_org', 'csaleorderid', 'vbillcode', 'ts', 'vnote', 'cpaytermid'])
  const changed: Record<string, string | null> = {}
  let { comments, dueDate } = order
  for (const [name, value] of Object.entries(head as Row)) {
    if (!known.has(name) && !/^vdef([1-9]|1\d|20)$/.test(name)) throw new Refusal(CHECK, `字段${name}不存在`)
    if (typeof value !== 'string') throw new Refusal(CHECK, `${name}格式错误`)
    if (name === 'vnote') comments = value || null
    else if (name === 'cpaytermid' || name.startsWith('vdef')) changed[name] = value || null
  }
  for (const row of rows as Row[]) {
    for (const name of Object.keys(row)) {
      if (!['csaleorderbid', 'dsenddate'].includes(name)) throw new Refusal(CHECK, `字段${name}不存在`)
    }
    if (!/^1001A4\d{14}$/.test(String(row.csaleorderbid))) throw new Refusal(CHECK, '表体主键不存在')
    dueDate = String(row.dsenddate).slice(0, 10)
  }
  return changeOrder(world, order, { comments, dueDate, userFields: { ...order.userFields, ...changed } })
}

const HEAD = new Set([
  'pk_org',
  'ctrantypeid',
  'ccustomerid',
  'dbilldate',
  'cdeptid',
  'cemployeeid',
  'corigcurrencyid',
  'vnote',
  'cpaytermid',
  'cbalancetypeid',
  ...Array.from({ length: 20 }, (_, at) => `vdef${at + 1}`),
])
const LINE = new Set([
  'crowno',
  'cmaterialid',
  'nqtunitnum',
  'nqtorigprice',
  'nitemdiscountrate',
  'csendstordocid',
  'dsenddate',
  'ctaxcodeid',
  'vrownote',
  ...Array.from({ length: 20 }, (_, at) => `vbdef${at + 1}`),
])

function save(world: World, body: unknown, options: YonyouNcSimulatorOptions): ErpOrder[] {
  if (!Array.isArray(body) || body.length !== 1) throw new Refusal(CHECK, '请传入一张销售订单')
  const { so_saleorder: head, so_saleorder_b: rows, ...rest } = body[0] as Row
  if (Object.keys(rest).length > 0 || typeof head !== 'object' || !Array.isArray(rows) || rows.length === 0) {
    throw new Refusal(CHECK, '销售订单格式错误: so_saleorder, so_saleorder_b')
  }
  const text = (row: Row, name: string): string | undefined => {
    const value = row[name]
    if (value === undefined || value === null || value === '') return undefined
    if (typeof value !== 'string') throw new Refusal(CHECK, `${name}格式错误`)
    return value
  }
  const own = head as Row
  for (const name of Object.keys(own)) if (!HEAD.has(name)) throw new Refusal(CHECK, `字段${name}不存在`)
  if (text(own, 'pk_org') !== ORG) throw new Refusal(CHECK, '销售组织不能为空或不存在')
  if (!TRANSACTION_TYPES.has(text(own, 'ctrantypeid') ?? ''))
    throw new Refusal(CHECK, '订单类型不能为空或不存在')
  if (!DEPARTMENTS.has(text(own, 'cdeptid') ?? '')) throw new Refusal(CHECK, '部门不能为空或不存在')
  const account = world.get('erpAccounts', text(own, 'ccustomerid') ?? '')
  if (!account) throw new Refusal(BUSINESS, `客户[${text(own, 'ccustomerid')}]不存在`)
  if (account.frozen) throw new Refusal(BUSINESS, `客户[${account.name}]已停用`)
  const currency = text(own, 'corigcurrencyid') ?? account.currency
  if (!CURRENCIES.has(currency)) throw new Refusal(CHECK, `币种[${currency}]不存在`)
  const date = (text(own, 'dbilldate') ?? local(new Date().toISOString())).slice(0, 10)
  if (options.closedUpTo !== undefined && date <= options.closedUpTo) {
    throw new Refusal(BUSINESS, `会计期间${date.slice(0, 7)}已结账，不能保存单据`)
  }
  const userFields: Record<string, string | null> = { ...(options.approval ? { fstatusflag: '7' } : {}) }
  for (const name of Object.keys(own)) {
    const value = /^(vdef|cpaytermid|cbalancetypeid)/.test(name) ? text(own, name) : undefined
    if (value !== undefined && value.length > 101) throw new Refusal(CHECK, `${name}长度超过101`)
    if (value !== undefined) userFields[name] = value
  }
  let dueDate = date
  const lines = (rows as Row[]).map((row, at) => {
    for (const name of Object.keys(row)) if (!LINE.has(name)) throw new Refusal(CHECK, `字段${name}不存在`)
    const where = `第${at + 1}行`
    const code = text(row, 'cmaterialid') ?? ''
    const item = world.get('erpItems', code)
    if (!item) throw new Refusal(BUSINESS, `${where}物料[${code}]不存在`)
    if (!item.active) throw new Refusal(BUSINESS, `${where}物料[${item.name}]已停用`)
    const number = (name: string): string | undefined => {
      const value = text(row, name)
      if (value !== undefined && !/^\d+(\.\d+)?$/.test(value))
        throw new Refusal(CHECK, `${where}${name}格式错误`)
      return value
    }
    const quantity = number('nqtunitnum')
    if (quantity === undefined || new Big(quantity).lte(0)) throw new Refusal(CHECK, `${where}数量必须大于0`)
    const warehouse = text(row, 'csendstordocid') ?? '01'
    if (!world.get('erpWarehouses', warehouse))
      throw new Refusal(BUSINESS, `${where}仓库[${warehouse}]不存在`)
    const price = number('nqtorigprice')
    for (const name of Object.keys(row)) {
      const kept = /^(vbdef|vrownote)/.test(name) ? text(row, name) : undefined
      if (kept !== undefined) userFields[`${at}.${name}`] = kept
    }
    dueDate = text(row, 'dsenddate')?.slice(0, 10) ?? dueDate
    return {
      item: code,
      quantity,
      warehouse,
      discountPercent: new Big(100).minus(number('nitemdiscountrate') ?? '100').toString(),
      ...(price === undefined ? {} : { price }),
    }
  })
  return [
    placeOrder(world, {
      cardCode: account.cardCode,
      currency,
      docDate: date,
      dueDate,
      comments: text(own, 'vnote') ?? null,
      confirmed: false,
      userFields,
      lines,
    }),
  ]
}
