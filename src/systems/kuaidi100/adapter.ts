/** Parcels of more than a thousand carriers, by their tracking numbers. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { fail, type Outcome, ok, outcomeOf } from '../failure.ts'
import { createClock } from '../kit/clock.ts'
import { parseJson } from '../kit/json.ts'
import type {
  CallContext,
  CreateAdapter,
  Lookup,
  Notification,
  ShipmentTrack,
  WebhookReceiver,
  WebhookVerdict,
  WriteAction,
} from '../port.ts'
import { type Key, type Shipment, splitKey } from '../records.ts'
import { CARRIERS, createCarriers } from './carriers.ts'
import { createKuaidi100Client, FORM, PHONE_NEEDED, pushSign, subscription } from './client.ts'
import type { Kuaidi100Config } from './config.ts'
import { createMapping, parcelKey, parcelOf, readPush } from './mapping.ts'
import { createMemory } from './memory.ts'

type Read = Outcome<Shipment | null>

/** As the vendor takes it. */
const NUMBER = /^[A-Za-z0-9-]{6,32}$/
const CODE = /^[a-z0-9]{1,40}$/

export const createKuaidi100: CreateAdapter<Kuaidi100Config> = (config, { timeoutMs, log }) => {
  const client = createKuaidi100Client(config, timeoutMs)
  const carriers = createCarriers({ ...CARRIERS, ...config.carriers })
  const mapping = createMapping(createClock(config.timeZone), carriers.nameOf)
  const memory = createMemory({ intervalMs: config.intervalMinutes * 60_000, size: config.remember })
  const underWay = new Map<Key, Promise<Read>>()
  /** Given by those who had a parcel followed, and good for asking too. */
  const phones = new Map<Key, string>()
  /** Carriers of which the vendor said that they want a number, though nobody here knew. */
  const wantPhone = new Set<string>()
  /** Carriers that the vendor has told, each for a fee. */
  const recognised = new Map<string, string>()

  /* ---- reading ---- */

  const ask = async (key: Key, phone: string | undefined, context: CallContext): Promise<Read> => {
    const [carrier = '', number = '', ...rest] = splitKey(key)
    if (rest.length > 0 || !CODE.test(carrier) || !NUMBER.test(number)) return ok(null)
    if (carriers.needsPhone(carrier) && phone === undefined)
      return phoneNeeded(carriers.nameOf(carrier) ?? carrier)
    const query = (told: string | undefined) =>
      outcomeOf(() => client.query({ carrier, number, phone: told }, context))
    const told = phoneFor(carrier, phone)
    let raw = await query(told)
    const isWanted = !raw.ok && raw.failure.kind === 'rejected' && raw.failure.code === PHONE_NEEDED
    if (isWanted && told === undefined && phone !== undefined) {
      wantPhone.add(carrier)
      raw = await query(phone)
    }
    if (!raw.ok) {
      // The same question would be refused again, and counts.
      if (raw.failure.kind === 'rejected') memory.keep(key, raw)
      return raw
    }
    const read = raw.value === null ? ok(null) : mapping.shipment(raw.value)
    if (read.ok && read.value && read.value.key !== key)
      return fail({ kind: 'invalid-response', detail: 'the trace of another parcel was given' })
    memory.keep(key, read)
    return read
  }

  const phoneFor = (carrier: string, phone: string | undefined) =>
    carriers.needsPhone(carrier) || wantPhone.has(carrier) ? phone : undefined

  /** One parcel, asked for by as few as possible: whoever comes while another asks gets that answer. */
  const readOne = async (key: Key, context: CallContext): Promise<Read> => {
    for (;;) {
      const recent = memory.recent(key)
      if (recent) return recent
      const joined = underWay.get(key)
      if (!joined) break
      const read = await joined
      const gaveUp = !read.ok && read.failure.kind === 'unavailable' && read.failure.reason === 'aborted'
      if (!gaveUp || context.signal?.aborted) return read
    }
    const asked = ask(key, phones.get(key) ?? config.phone, context)
    underWay.set(key, asked)
    try {
      return await asked
    } finally {
      underWay.delete(key)
    }
  }

  const readMany = (keys: readonly Key[], context: CallContext): Promise<Read[]> =>
    Promise.all(keys.map((key) => readOne(key, context)))

  /** @returns null where nobody can tell whose number it is. @throws SourceError */
  const carrierOf = async (number: string, context: CallContext): Promise<string | null> => {
    const known = memory.keyOf(number)
    if (known !== undefined) return splitKey(known)[0] ?? null
    const code = carriers.ofNumber(number) ?? recognised.get(number)
    if (code !== undefined) return code
    const [likeliest = null] = await client.recognise(number, context)
    if (likeliest !== null && recognised.size < config.remember) recognised.set(number, likeliest)
    return likeliest
  }

  const byNumber: Lookup<'shipment'> = {
    batchLimit: 1,
    read: (numbers, context) =>
      Promise.all(
        numbers.map(async (number): Promise<Outcome<readonly Shipment[]>> => {
          if (!NUMBER.test(number)) return ok([])
          const carrier = await outcomeOf(() => carrierOf(number, context))
          if (!carrier.ok) return carrier
          if (carrier.value === null) return ok([])
          const read = await readOne(parcelKey(carrier.value, number), context)
          return read.ok ? ok(read.value ? [read.value] : []) : read
        }),
      ),
  }

  /* ---- following ---- */

  /** The parcel to follow, or why that cannot be. @throws SourceError */
  const parcelFrom = async (input: ShipmentTrack, context: CallContext) => {
    const { trackingNumber: number } = input
    if (!NUMBER.test(number))
      return refused('NUMBER', `"${number.slice(0, 40)}" is no tracking number.`, 'trackingNumber')
    const named =
      input.carrier === undefined ? null : (carriers.codeOf(input.carrier) ?? codeLike(input.carrier))
    if (input.carrier !== undefined && named === null)
      return refused(
        'CARRIER',
        `"${input.carrier.slice(0, 40)}" is no carrier that is known here.`,
        'carrier',
      )
    const carrier = named ?? (await carrierOf(number, context))
    if (carrier === null)
      return refused('CARRIER', `Whose number "${number}" is cannot be told: name the carrier.`, 'carrier')
    const given = input.phone?.replaceAll(/[^\d-]/g, '')
    if (given !== undefined && given.length < 4)
      return refused(PHONE_NEEDED, 'The telephone number needs its last four digits at least.', 'phone')
    const phone = given ?? phoneFor(carrier, config.phone)
    if (carriers.needsPhone(carrier) && phone === undefined)
      return phoneNeeded(carriers.nameOf(carrier) ?? carrier)
    return ok({ carrier, number, phone })
  }

  const track = (
    webhook: NonNullable<Kuaidi100Config['webhook']>,
  ): WriteAction<ShipmentTrack, 'shipment'> => ({
    preview: (input) => ({
      method: 'POST',
      path: '/poll',
      headers: FORM,
      body: subscription(
        {
          carrier: carriers.codeOf(input.carrier ?? '') ?? input.carrier ?? '',
          number: input.trackingNumber,
          phone: input.phone,
        },
        { key: '***', url: webhook.url, salt: '***' },
      ),
    }),

    async send(input, _write, context) {
      const found = await outcomeOf(() => parcelFrom(input, context))
      if (!found.ok) return found
      if (!found.value.ok) return found.value
      const parcel = found.value.value
      const done = await outcomeOf(() => client.subscribe(parcel, context))
      if (!done.ok) return done
      const key = parcelKey(parcel.carrier, parcel.number)
      if (parcel.phone !== undefined && phones.size < config.remember) phones.set(key, parcel.phone)
      // The first push takes up to four hours; what there is already can be asked for once.
      const recent = memory.recent(key)
      const now = recent?.ok ? recent : await ask(key, parcel.phone, context)
      const record = (now.ok ? now.value : null) ?? mapping.followed(parcel.carrier, parcel.number)
      memory.told(record)
      return ok({
        key,
        record,
        reached: 'effective',
        ...(done.value.repeated ? { note: 'It was followed before.' } : {}),
      })
    },

    // What is followed cannot be listed. A second request for the same parcel changes nothing and is answered with
    // 501, which counts as success: so sending again is as good as looking.
    verify: async () =>
      ok({
        effect: 'none',
        proven: true,
        evidence: '快递100 does not tell what it follows; asking again to follow a parcel changes nothing',
      }),
  })

  const codeLike = (given: string): string | null => (CODE.test(given) && given.length > 1 ? given : null)

  /* ---- being told ---- */

  const receiver = (salt: string): WebhookReceiver => ({
    receive({ headers, body }, now): WebhookVerdict {
      if (!headers['content-type']?.toLowerCase().startsWith('application/x-www-form-urlencoded'))
        return malformed('a form is expected')
      const form = new URLSearchParams(body.toString('utf8'))
      const [params, signs] = [form.getAll('param'), form.getAll('sign')]
      const [param] = params
      const [sign] = signs
      if (param === undefined || params.length > 1 || signs.length > 1)
        return malformed('"param" is expected once')
      if (sign === undefined || !isSame(sign.toUpperCase(), pushSign(param, salt)))
        return { ok: false, reason: 'signature', detail: '"sign" does not match' }
      let raw: unknown
      try {
        raw = parseJson(param, 'param')
      } catch {
        return malformed('"param" is no JSON')
      }
      const push = readPush(raw)
      if (!push) return malformed('"param" is no push')
      const id = createHash('sha256').update(param).digest('hex')
      const key = parcelOf(push.lastResult)
      if (key === null) return malformed('"lastResult" does not say which parcel')
      const about = { id, type: 'shipment', key, time: now.toISOString() } as const
      if (push.status === 'abort' && push.comNew !== null && splitKey(key)[0] !== push.comNew) {
        // It is another carrier's number, and goes on under that carrier: what we knew was no parcel.
        memory.keep(key, ok(null))
        return { ok: true, notifications: [{ ...about, change: 'deleted' }] }
      }
      const read = mapping.shipment(push.lastResult)
      if (!read.ok) return malformed('"lastResult" cannot be read')
      if (push.status === 'abort') {
        log.warn({ parcel: key, reason: push.message }, 'a parcel is not followed any more')
        // Nothing was found in three days: there is nothing to tell.
        if (read.value.events.length === 0) return { ok: true, notifications: [] }
      }
      memory.told(read.value)
      const time = read.value.updatedAt ?? about.time
      const notification: Notification = { ...about, time, change: 'updated', record: read.value }
      return { ok: true, notifications: [notification] }
    },

    // Read by its program, which otherwise sends the same three times more, 35 minutes apart.
    answer: (refusal) =>
      refusal === null
        ? { result: true, returnCode: '200', message: '成功' }
        : { result: false, returnCode: '500', message: refusal },
  })

  const { webhook } = config
  return {
    kind: 'kuaidi100',
    ports: {
      shipment: {
        batchLimit: 1,
        readMany,
        lookups: { byNumber },
        ...(webhook ? { create: track(webhook) } : {}),
      },
    },
    health: (context) =>
      outcomeOf(async () => {
        await client.probe(context)
        return {
          detail: `快递100, account ${config.customer}; what is left of its quota cannot be asked for`,
        }
      }),
    ...(webhook ? { webhook: receiver(webhook.salt) } : {}),
    async close() {
      client.close()
    },
  }
}

const malformed = (detail: string): WebhookVerdict => ({ ok: false, reason: 'malformed', detail })

const refused = (code: string, message: string, field: string) =>
  fail({ kind: 'rejected', code, message, field })

const phoneNeeded = (carrier: string) =>
  refused(
    PHONE_NEEDED,
    `${carrier} tells nothing without the last four digits of the recipient's or the sender's telephone number.`,
    'phone',
  )

function isSame(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
