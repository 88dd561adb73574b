/**
 * Change Data Capture over the Streaming API: Bayeux messages by long polling, with the replay extension.
 * @see Streaming API Developer Guide, "How the Client Connects", "Handling Streaming API Errors"; Bayeux protocol 1.0
 */
import { z } from 'zod'
import { fail, type Outcome, ok, outcomeOf, SourceError, type SourceFailure } from '../failure.ts'
import type { HttpClient } from '../kit/http.ts'
import { jsonNumber, parseJson } from '../kit/json.ts'
import type { CallContext, ChangeStream, Notification, StreamBatch } from '../port.ts'
import type { SalesforceConfig } from './config.ts'
import { longId, type ObjectName } from './ids.ts'
import { idOf, type Tools } from './reading.ts'
import { soql, within } from './soql.ts'

/** Longer than the vendor keeps an empty poll open: 110 seconds. */
const POLL_MS = 130_000
/** From the oldest event that is still kept, and from now on. */
const EARLIEST = '-2'
const LATEST = '-1'

const messageSchema = z.looseObject({
  channel: z.string(),
  successful: z.boolean().nullish(),
  clientId: z.string().nullish(),
  error: z.string().nullish(),
  advice: z.looseObject({ reconnect: z.string().nullish() }).nullish(),
  data: z.unknown().optional(),
})
type Message = z.infer<typeof messageSchema>

const changeSchema = z.object({
  event: z.object({ replayId: z.string().regex(/^\d+$/) }),
  payload: z.object({
    ChangeEventHeader: z.object({
      entityName: z.string(),
      recordIds: z.array(z.string()),
      changeType: z.string(),
      commitTimestamp: z.string().regex(/^\d+$/),
      transactionKey: z.string(),
      sequenceNumber: z.string(),
      commitNumber: z.string().nullish(),
    }),
  }),
})

export function createStream(
  { client, config, context: { log } }: Tools,
  { channel }: NonNullable<SalesforceConfig['changeEvents']>,
): ChangeStream {
  const path = `/cometd/${config.apiVersion}`
  const channels = [channel].flat()

  /** One session; ends by throwing. @throws SourceError */
  const session = async (
    http: HttpClient,
    from: string | null,
    take: (batch: StreamBatch) => Promise<boolean>,
    context: CallContext,
  ): Promise<void> => {
    const { signal } = context
    const cookies = new Map<string, string>()
    let clientId = ''

    const say = async (message: Record<string, unknown>): Promise<Message[]> => {
      const answer = await client.exchange(http, {
        method: 'POST',
        path,
        headers: {
          'content-type': 'application/json;charset=UTF-8',
          // The session lives on one machine; its cookies lead back there.
          ...(cookies.size > 0
            ? { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
            : {}),
        },
        body: JSON.stringify([{ ...message, ...(clientId ? { clientId } : {}) }]),
        signal,
        writes: false,
      })
      for (const cookie of [answer.headers['set-cookie'] ?? []].flat()) {
        const [, name, value] = /^([^=;\s]+)=([^;]*)/.exec(String(cookie)) ?? []
        if (name !== undefined && value !== undefined) cookies.set(name, value)
      }
      if (answer.status !== 200) {
        const detail = `${path}: HTTP ${answer.status}`
        throw new SourceError({ kind: 'unavailable', reason: 'overloaded', detail })
      }
      const messages = z.array(messageSchema).safeParse(parseJson(answer.text, path))
      if (messages.success) return messages.data
      throw new SourceError({ kind: 'invalid-response', detail: `${path}: no list of messages` })
    }

    const told = async (message: Record<string, unknown> & { channel: string }) => {
      const messages = await say(message)
      const reply = messages.find((one) => one.channel === message.channel)
      if (!reply) throw new SourceError({ kind: 'invalid-response', detail: `${message.channel}: no reply` })
      return { messages, reply }
    }

    const greeting = await told({
      channel: '/meta/handshake',
      version: '1.0',
      minimumVersion: '1.0',
      supportedConnectionTypes: ['long-polling'],
      ext: { replay: true },
    })
    if (!greeting.reply.successful || !greeting.reply.clientId) throw refusal(greeting.reply, client.clean)
    clientId = greeting.reply.clientId

    const subscribe = (channel: string, replayFrom: string) =>
      told({
        channel: '/meta/subscribe',
        subscription: channel,
        ext: { replay: { [channel]: jsonNumber(replayFrom) } },
      })
    // Each channel counts for itself.
    const places = placesOf(from, channels)
    let incomplete = false
    for (const channel of channels) {
      const replayId = places.get(channel)
      let subscribed = (await subscribe(channel, replayId ?? LATEST)).reply
      if (!subscribed.successful && replayId !== undefined && isGone(subscribed)) {
        log.warn({ channel, replayId }, 'the stream does not reach back so far: from its beginning')
        subscribed = (await subscribe(channel, EARLIEST)).reply
        incomplete = true
      }
      if (!subscribed.successful) throw refusal(subscribed, client.clean)
      // Nothing came of it while others were followed, or it is followed only since now.
      if (replayId === undefined && from !== null) incomplete = true
    }

    try {
      while (!signal?.aborted) {
        const { messages, reply } = await told({ channel: '/meta/connect', connectionType: 'long-polling' })
        const events = messages.filter((message) => channels.includes(message.channel))
        const batch = await batchOf(events, places, context)
        if (batch) {
          if (!(await take({ ...batch, incomplete: batch.incomplete || incomplete }))) {
            const detail = 'records of change events cannot be read now'
            throw new SourceError({ kind: 'unavailable', reason: 'overloaded', detail })
          }
          incomplete = false
        }
        if (!reply.successful || reply.advice?.reconnect === 'handshake') throw refusal(reply, client.clean)
      }
    } finally {
      // The vendor bounds how many listen at once. It may not be heard; then the session ends by itself.
      if (!signal?.aborted) await outcomeOf(() => say({ channel: '/meta/disconnect' }))
    }
  }

  /** Whose contacts these are; the events themselves carry only what has changed. @throws SourceError */
  const accountsOf = async (
    contacts: readonly string[],
    context: CallContext,
  ): Promise<Map<string, string>> => {
    if (contacts.length === 0) return new Map()
    const text = soql({ object: 'Contact', fields: ['Id', 'AccountId'], where: [within('Id', contacts)] })
    const rows = (await client.query([text], context, true)).flat()
    return new Map(rows.map((row) => [idOf(row, 'Contact') ?? '', String(row.AccountId ?? '')]))
  }

  /** @throws SourceError */
  const batchOf = async (
    messages: readonly Message[],
    places: Map<string, string>,
    context: CallContext,
  ): Promise<StreamBatch | null> => {
    const headers = messages.map(({ channel, data }) => {
      const change = changeSchema.safeParse(data)
      if (!change.success)
        throw new SourceError({
          kind: 'invalid-response',
          detail: `${channel}: a message is no change event`,
        })
      places.set(channel, change.data.event.replayId)
      return change.data
    })
    if (headers.length === 0) return null
    const position = positionOf(places, channels)
    const contacts = headers.flatMap(({ payload: { ChangeEventHeader: header } }) =>
      header.entityName === 'Contact' ? header.recordIds.map((id) => longId(id, 'Contact')) : [],
    )
    const accounts = await accountsOf([...new Set(contacts.filter((id) => id !== null))], context)
    let incomplete = false
    const notifications: Notification[] = []
    for (const { payload } of headers) {
      const header = payload.ChangeEventHeader
      const read = OBJECTS_FOLLOWED.has(header.entityName) ? notificationsOf(header, accounts) : []
      // Too much in one transaction, or cascades: the event says that there was something, and not what.
      if (read === null) incomplete = true
      else notifications.push(...read)
    }
    return { notifications, position, incomplete }
  }

  return {
    async follow(position, take, context): Promise<Outcome<void>> {
      const opened = await outcomeOf(() => client.open(POLL_MS))
      if (!opened.ok) return opened
      try {
        const ended = await outcomeOf(() => session(opened.value, position, take, context))
        if (context.signal?.aborted) return ok(undefined)
        if (!ended.ok && ended.failure.kind === 'unauthorized') await outcomeOf(() => client.renew())
        return ended.ok ? fail(GONE) : ended
      } finally {
        opened.value.close()
      }
    },
  }
}

/** Of one channel the id alone; of several, by channel. */
const positionOf = (places: ReadonlyMap<string, string>, channels: readonly string[]): string =>
  channels.length === 1 ? (places.get(channels[0] ?? '') ?? '') : JSON.stringify(Object.fromEntries(places))

function placesOf(position: string | null, channels: readonly string[]): Map<string, string> {
  if (position === null) return new Map()
  const places = /^\d+$/.test(position)
    ? { [channels[0] ?? '']: position }
    : z.record(z.string(), z.string()).catch({}).parse(safeJson(position))
  return new Map(Object.entries(places).filter(([channel]) => channels.includes(channel)))
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const GONE: SourceFailure = { kind: 'unavailable', reason: 'unreachable', detail: 'the stream has ended' }

type Header = z.infer<typeof changeSchema>['payload']['ChangeEventHeader']

const OBJECTS_FOLLOWED = new Set(['Account', 'Contact', 'Opportunity'])

/** What happened to a contact happened to its customer. @returns Null where the event does not say to what. */
function notificationsOf(header: Header, accounts: ReadonlyMap<string, string>): Notification[] | null {
  const kind = header.changeType.replace(/^GAP_/, '')
  if (kind === 'OVERFLOW') return null
  const isContact = header.entityName === 'Contact'
  const object = header.entityName === 'Opportunity' ? 'Opportunity' : 'Account'
  const notifications: Notification[] = []
  for (const id of header.recordIds) {
    const own = longId(id, header.entityName as ObjectName)
    if (own === null) return null
    const key = isContact ? longId(accounts.get(own) ?? '', 'Account') : own
    // A contact of nobody changes no customer.
    if (key === null) continue
    notifications.push({
      id: [header.transactionKey, header.commitNumber, header.sequenceNumber, own].filter(Boolean).join('/'),
      type: object === 'Account' ? 'customer' : 'opportunity',
      key,
      change: isContact ? 'updated' : (CHANGES[kind] ?? 'updated'),
      time: new Date(Number(header.commitTimestamp)).toISOString(),
    })
  }
  return notifications
}

const CHANGES: Readonly<Record<string, Notification['change']>> = {
  CREATE: 'created',
  UPDATE: 'updated',
  DELETE: 'deleted',
  // It was known before; what it is now is read.
  UNDELETE: 'updated',
}

/** `400::The replayId {5} you provided was invalid. Please provide a valid ID, -2 to replay all events, or …` */
const isGone = ({ error }: Message): boolean => /^400::.*replayId/is.test(error ?? '')

/** 401 ends the token, 403::Unknown client the session; both go on where they stopped. */
function refusal({ channel, error, ...rest }: Message, clean: (text: string) => string): SourceError {
  const said = clean(error ?? 'refused')
  if (/401::/.test(said) || JSON.stringify(rest.ext ?? '').includes('401::')) {
    return new SourceError({ kind: 'unauthorized', detail: `${channel}: ${said}` })
  }
  if (/^403:/.test(said) && !/unknown client/i.test(said)) {
    return new SourceError({ kind: 'rejected', code: '403', message: `${channel}: ${said}` })
  }
  return new SourceError({ kind: 'unavailable', reason: 'unreachable', detail: `${channel}: ${said}` })
}
