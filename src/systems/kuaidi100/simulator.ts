/**
 * A tracking service that speaks 快递100's interface over the demo world's parcels, as strictly as its pages and its
 * own SDK describe it: signatures over the very text, telephone numbers where a carrier wants them, subscriptions that
 * stand once per parcel, and pushes that are repeated until they are answered as it wants. Shares no code with the
 * adapter.
 */
import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type SimulatedRequest,
  type SimulatedResponse,
  type Simulator,
  startSimulatorServer,
} from '../../simulation/server.ts'
import type { Parcel, ParcelStage, World } from '../../simulation/world.ts'

export interface Kuaidi100SimulatorOptions {
  /** Default 0: any free port. */
  readonly port?: number
  readonly customer: string
  readonly key: string
  /** Sender's number, which some carriers take in place of the recipient's. Default: none. */
  readonly senderPhone?: string
  /** A number asked for again sooner is refused, and counted in `askedTooOften`. Default 0: never. */
  readonly intervalMs?: number
  /** Pauses before the second, third, … attempt of a push; then it gives up. Default 200, 800, 3200. */
  readonly retryDelaysMs?: readonly number[]
}

export interface Kuaidi100Simulator extends Simulator {
  /** How many questions came sooner than allowed. */
  readonly askedTooOften: number
  /** What is followed: `carrier/number`, with how often it was pushed and taken. */
  followed(): readonly { readonly parcel: string; readonly status: string; readonly taken: number }[]
  /** Sends the last push again, byte for byte. */
  pushAgain(): Promise<PushAttempt>
  /** Ends the following of a parcel without a trace, as after three days; with another carrier where that is it. */
  giveUp(number: string, correctedCarrier?: string): Promise<PushAttempt>
  /** Answers when every push under way was taken or given up. */
  settled(): Promise<void>
}

export interface PushAttempt {
  readonly status: number
  readonly body: string
}

interface Following {
  readonly com: string
  readonly number: string
  readonly url: string
  readonly salt: string | null
  readonly fine: boolean
  status: 'polling' | 'shutdown' | 'abort'
  taken: number
  queue: Promise<unknown>
}

interface CarrierWords {
  readonly com: string
  readonly start: string
  readonly phone: boolean
}

/** The world's short names, and what this service calls them. */
const COMPANIES: Readonly<Record<string, CarrierWords>> = {
  SF: { com: 'shunfeng', start: 'SF', phone: true },
  YTO: { com: 'yuantong', start: 'YT', phone: false },
  JT: { com: 'jtexpress', start: 'JT', phone: false },
  EMS: { com: 'ems', start: 'EA', phone: false },
  ZTO: { com: 'zhongtong', start: '78', phone: false },
}
const COMS = new Set(Object.values(COMPANIES).map(({ com }) => com))

/** State of the parcel, word and finer code of a scan. */
const STAGES: Readonly<Record<ParcelStage, readonly [string, string, string]>> = {
  COLLECTED: ['1', '揽收', '103'],
  MOVING: ['0', '在途', '1002'],
  CUSTOMS: ['10', '待清关', '10'],
  OUT: ['5', '派件', '5'],
  SIGNED: ['3', '签收', '301'],
  PROBLEM: ['2', '疑难', '204'],
  REFUSED: ['14', '拒签', '14'],
  RETURNING: ['6', '退回', '6'],
  RETURNED: ['4', '退签', '4'],
}

class Refusal extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const hash = (text: string): string => createHash('md5').update(Buffer.from(text, 'utf8')).digest('hex')

export async function startKuaidi100Simulator(
  world: World,
  options: Kuaidi100SimulatorOptions,
): Promise<Kuaidi100Simulator> {
  const following = new Map<string, Following>()
  const askedAt = new Map<string, number>()
  const retryDelays = options.retryDelaysMs ?? [200, 800, 3_200]
  const stop = new AbortController()
  let tooOften = 0
  let last: { readonly url: string; readonly body: string } | undefined

  /* ---- questions ---- */

  const query = (request: SimulatedRequest): unknown => {
    const { customer, sign, param } = formOf(request, ['customer', 'sign', 'param'])
    if (customer !== options.customer) throw new Refusal('400', '提交的数据不完整，或者贵公司没授权')
    if (sign !== hash(`${param}${options.key}${customer}`).toUpperCase())
      throw new Refusal('503', '验证签名失败')
    const asked = jsonOf(param)
    known(asked, ['com', 'num', 'phone', 'from', 'to', 'resultv2', 'show', 'order'])
    const com = needed(asked, 'com')
    const num = needed(asked, 'num')
    if (asked.show !== undefined && asked.show !== '0') throw new Refusal('400', '返回格式有误')
    if (!COMS.has(com)) throw new Refusal('400', `找不到对应公司：${com}`)
    if (num.length > 32) throw new Refusal('400', '单号长度超过32')
    const before = askedAt.get(`${com}/${num}`)
    const now = performance.now()
    if (before !== undefined && now - before < (options.intervalMs ?? 0)) {
      tooOften++
      // The vendor warns of locked accounts; what it answers then is not written anywhere.
      throw new Refusal('400', '同一单号查询过于频繁，已锁定')
    }
    askedAt.set(`${com}/${num}`, now)
    const parcel = parcelOf(com, num)
    if (needsPhone(com)) checkPhone(asked.phone, parcel)
    if (!parcel || parcel.steps.length === 0) throw new Refusal('500', '查询无结果，请隔段时间再查')
    const trace = show(parcel, com, asked.resultv2 === '4')
    return { ...trace, data: asked.order === 'asc' ? trace.data.toReversed() : trace.data }
  }

  const parcelOf = (com: string, num: string): Parcel | undefined => {
    const parcel = world.get('parcels', num)
    return parcel && COMPANIES[parcel.carrier]?.com === com ? parcel : undefined
  }

  const checkPhone = (given: string | undefined, parcel: Parcel | undefined) => {
    const digits = (given ?? '').replaceAll(/\D/g, '')
    if (digits.length < 4) throw new Refusal('408', '快递公司参数异常：单号对应的收寄件人电话不能为空')
    const ends = [parcel?.phone, options.senderPhone].map((one) =>
      (one ?? '').replaceAll(/\D/g, '').slice(-4),
    )
    if (!ends.includes(digits.slice(-4))) throw new Refusal('408', '验证码错误')
  }

  const recognise = (request: SimulatedRequest): unknown => {
    if (request.query.get('key') !== options.key) throw new Refusal('601', 'POLL:KEY已过期')
    const num = request.query.get('num') ?? ''
    return Object.values(COMPANIES)
      .filter(({ start }) => num.startsWith(start))
      .map(({ com, start }) => ({ comCode: com, lengthPre: num.length, noCount: 1000, noPre: start }))
  }

  /* ---- subscriptions ---- */

  const subscribe = (request: SimulatedRequest): unknown => {
    const { schema, param } = formOf(request, ['schema', 'param'])
    if (schema !== 'json') throw new Refusal('700', '订阅方的订阅数据存在错误：schema')
    const asked = jsonOf(param, '700')
    known(asked, ['company', 'number', 'key', 'from', 'to', 'parameters'], '700')
    if (asked.key !== options.key) throw new Refusal('600', '您不是合法的订阅者（即授权Key出错）')
    const number = needed(asked, 'number', '700')
    const more = asked.parameters as unknown
    if (more === null || typeof more !== 'object')
      throw new Refusal('700', '订阅方的订阅数据存在错误：parameters')
    const parameters = more as Readonly<Record<string, string>>
    known(parameters, ['callbackurl', 'salt', 'resultv2', 'autoCom', 'phone'], '700')
    const com = asked.company || (parameters.autoCom === '1' ? recogniseCom(number) : '')
    if (com === '') throw new Refusal('702', 'POLL:识别不到该单号对应的快递公司')
    if (!COMS.has(com)) throw new Refusal('700', `POLL:不支持的快递公司：${com}`)
    const url = parameters.callbackurl ?? ''
    if (!/^https?:\/\/[^/]+/.test(url)) throw new Refusal('700', '订阅方的订阅数据存在错误：callbackurl')
    const { salt = null } = parameters
    if (salt !== null && salt.length > 32) throw new Refusal('700', '订阅方的订阅数据存在错误：salt')
    if (needsPhone(com) && (parameters.phone ?? '').replaceAll(/\D/g, '').length < 4)
      throw new Refusal('700', '订阅方的订阅数据存在错误：顺丰单号必填phone')
    const name = `${com}/${number}`
    if (following.get(name)?.status === 'polling') throw new Refusal('501', 'POLL:重复订阅')
    const fine = parameters.resultv2 === '4'
    const one: Following = {
      com,
      number,
      url,
      salt,
      fine,
      status: 'polling',
      taken: 0,
      queue: Promise.resolve(),
    }
    following.set(name, one)
    if (parcelOf(com, number)?.steps.length) tell(one)
    return { result: true, returnCode: '200', message: '提交成功' }
  }

  const recogniseCom = (number: string): string =>
    Object.values(COMPANIES).find(({ start }) => number.startsWith(start))?.com ?? ''

  /* ---- pushes ---- */

  /** Everything that is known, newest first; after the last scan nothing more is told. */
  const tell = (one: Following) => {
    const parcel = parcelOf(one.com, one.number)
    if (!parcel || one.status !== 'polling') return
    const trace = show(parcel, one.com, one.fine)
    const ended = trace.state === '3' || trace.state === '4'
    if (ended) one.status = 'shutdown'
    const param = JSON.stringify({
      status: ended ? 'shutdown' : 'polling',
      billstatus: ended ? 'check' : 'got',
      message: '',
      autoCheck: '0',
      comOld: '',
      comNew: '',
      lastResult: trace,
    })
    one.queue = one.queue.then(() => deliver(one, param))
  }

  /** @returns The answer to the last attempt. */
  const deliver = async (one: Following, param: string): Promise<PushAttempt> => {
    const form = new URLSearchParams({ param })
    if (one.salt !== null) form.set('sign', hash(`${param}${one.salt}`).toUpperCase())
    last = { url: one.url, body: form.toString() }
    let attempt: PushAttempt = { status: 0, body: '' }
    for (const pause of [0, ...retryDelays]) {
      try {
        if (pause > 0) await delay(pause, undefined, { signal: stop.signal })
        attempt = await post(last)
      } catch {
        if (stop.signal.aborted) return attempt
        continue
      }
      if (isTaken(attempt)) {
        one.taken++
        return attempt
      }
    }
    return attempt
  }

  const post = async ({ url, body }: { url: string; body: string }): Promise<PushAttempt> => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' },
      body,
      redirect: 'manual',
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(5_000)]),
    })
    return { status: response.status, body: await response.text() }
  }

  const forget = world.onChange(({ collection, entity }) => {
    if (collection !== 'parcels') return
    const { number } = entity as Parcel
    for (const one of following.values()) if (one.number === number) tell(one)
  })

  const routes: Readonly<Record<string, (request: SimulatedRequest) => unknown>> = {
    'POST /poll/query.do': query,
    'POST /poll': subscribe,
    'GET /autonumber/auto': recognise,
  }
  const handle = (request: SimulatedRequest): SimulatedResponse => {
    const route = routes[`${request.method} ${request.path}`]
    if (!route) return { status: 404, headers: { 'content-type': 'text/html' }, body: '<h1>404</h1>' }
    try {
      return answer(route(request))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return answer({ result: false, returnCode: error.code, message: error.message })
    }
  }
  const server = await startSimulatorServer({
    ...(options.port ? { port: options.port } : {}),
    handle,
    nameCall: callName,
  })

  return {
    url: server.url,
    get calls() {
      return server.calls
    },
    get askedTooOften() {
      return tooOften
    },
    setFaults: server.setFaults,
    clearCalls: server.clearCalls,
    followed: () => [...following].map(([parcel, { status, taken }]) => ({ parcel, status, taken })),
    pushAgain() {
      if (!last) throw new Error('nothing was pushed yet')
      return post(last)
    },
    giveUp(number, correctedCarrier) {
      const one = [...following.values()].find((each) => each.number === number)
      if (!one) throw new Error(`${number} is not followed`)
      one.status = 'abort'
      const param = JSON.stringify({
        status: 'abort',
        billstatus: '',
        message: '3天查询无记录',
        autoCheck: '0',
        comOld: '',
        comNew: correctedCarrier ?? '',
        lastResult: {
          message: '',
          state: '0',
          status: '201',
          condition: '',
          ischeck: '0',
          com: one.com,
          nu: number,
          data: [],
        },
      })
      return deliver(one, param)
    },
    async settled() {
      await Promise.all([...following.values()].map((one) => one.queue))
    },
    async close() {
      forget()
      stop.abort()
      await Promise.allSettled([...following.values()].map((one) => one.queue))
      await server.close()
    },
  }
}

/* ---- words ---- */

const needsPhone = (com: string): boolean =>
  Object.values(COMPANIES).some((one) => one.com === com && one.phone)

/** What it shows in Shanghai's wall clock, newest first. */
function show(parcel: Parcel, com: string, fine: boolean) {
  const last = parcel.steps.at(-1)
  return {
    message: 'ok',
    nu: parcel.number,
    ischeck: last?.stage === 'SIGNED' ? '1' : '0',
    com,
    status: '200',
    state: last ? STAGES[last.stage][0] : '0',
    condition: 'F00',
    data: parcel.steps.toReversed().map((step) => {
      const [, word, code] = STAGES[step.stage]
      const wall = new Date(Date.parse(step.at) + 8 * 3_600_000).toISOString()
      const time = `${wall.slice(0, 10)} ${wall.slice(11, 19)}`
      return {
        time,
        ftime: time,
        context: step.text,
        ...(fine ? { areaCode: 'CN000000000000', areaName: step.place, status: word, statusCode: code } : {}),
      }
    }),
    ...(fine
      ? {
          routeInfo: {
            from: { number: 'CN440300000000', name: parcel.from },
            cur: last ? { number: 'CN000000000000', name: last.place } : null,
            to: { number: 'CN310115000000', name: parcel.to },
          },
        }
      : {}),
    ...(parcel.expectedDay === null ? {} : { arrivalTime: `${parcel.expectedDay} 18` }),
  }
}

type Asked = Readonly<Record<string, string | undefined>>

/** Exactly these fields, each once, in a form. */
function formOf<const F extends string>(request: SimulatedRequest, fields: readonly F[]): Record<F, string> {
  const type = String(request.headers['content-type'] ?? '')
  if (!type.startsWith('application/x-www-form-urlencoded'))
    throw new Refusal('400', '请使用 application/x-www-form-urlencoded')
  const form = new URLSearchParams(request.body.toString('utf8'))
  const found = {} as Record<F, string>
  for (const field of fields) {
    const values = form.getAll(field)
    if (values.length !== 1 || values[0] === '') throw new Refusal('400', `提交的数据不完整：${field}`)
    found[field] = String(values[0])
  }
  for (const field of form.keys())
    if (!(fields as readonly string[]).includes(field)) throw new Refusal('400', `未知参数：${field}`)
  return found
}

function jsonOf(text: string, code = '400'): Asked {
  try {
    const value: unknown = JSON.parse(text)
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) return value as Asked
  } catch {
    // told below
  }
  throw new Refusal(code, 'param 不是 JSON')
}

function known(asked: object, fields: readonly string[], code = '400'): void {
  for (const [field, value] of Object.entries(asked)) {
    if (!fields.includes(field)) throw new Refusal(code, `未知参数：${field}`)
    if (field !== 'parameters' && typeof value !== 'string') throw new Refusal(code, `${field} 应为字符串`)
  }
}

function needed(asked: Asked, field: string, code = '400'): string {
  const value = asked[field]
  if (value === undefined || value === '') throw new Refusal(code, `提交的数据不完整：${field}`)
  return value
}

const answer = (value: unknown): SimulatedResponse => ({
  status: 200,
  headers: { 'content-type': 'text/json;charset=UTF-8' },
  body: JSON.stringify(value),
})

/** What a push is answered with before it counts as taken. */
function isTaken({ status, body }: PushAttempt): boolean {
  try {
    const said = JSON.parse(body) as { result?: unknown; returnCode?: unknown; message?: unknown }
    return (
      status === 200 && said.result === true && said.returnCode === '200' && typeof said.message === 'string'
    )
  } catch {
    return false
  }
}

function callName(request: SimulatedRequest): string {
  if (request.method !== 'POST') return `${request.method} ${request.path}?${request.query.get('num') ?? ''}`
  const param = new URLSearchParams(request.body.toString('utf8')).get('param') ?? ''
  const about = /"num(?:ber)?":"([^"]*)"/.exec(param)?.[1] ?? ''
  return `${request.path === '/poll' ? 'SUBSCRIBE' : 'QUERY'} ${about}`
}
