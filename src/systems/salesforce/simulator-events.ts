/** Change Data Capture as the simulated org tells it: Bayeux sessions by long polling, and what may be replayed. */
import { randomBytes, randomUUID } from 'node:crypto'
import type { OrgEvent } from './simulator-org.ts'

type Json = { readonly [name: string]: unknown }

interface Kept {
  readonly replayId: number
  readonly entityName: string
  readonly data: Json
}

/** Beside the channel of all of them: one for each object. */
const ofObject = (entityName: string): string => `/data/${entityName}ChangeEvent`
const OBJECTS = ['Account', 'Contact', 'Opportunity']

interface Session {
  readonly cookie: string
  queue: { readonly channel: string; readonly data: Json }[]
  readonly channels: Set<string>
  wake: (() => void) | undefined
}

export interface SimulatedEvents {
  /** One Bayeux message. @returns The messages that answer it, and cookies to set. */
  answer(message: Json, cookies: string, isKnown: boolean): Promise<{ messages: Json[]; cookie?: string }>
  publish(event: OrgEvent): void
  /** Events up to now are kept no longer. */
  forget(): void
  /** The server forgets its sessions. */
  dropSessions(): void
  readonly subscribers: number
  /** From where each subscription asked to be told, in order. */
  readonly replays: readonly number[]
  close(): void
}

export function createEvents(all: string, pollMs: number): SimulatedEvents {
  const kept: Kept[] = []
  const sessions = new Map<string, Session>()
  const replays: number[] = []
  let closed = false
  // Neither 0 nor without gaps.
  let replayId = 8_123_455
  let oldest = replayId

  const carries = (channel: string, { entityName }: Kept) =>
    channel === all || channel === ofObject(entityName)
  const deliver = (session: Session, channel: string, events: readonly Kept[]) => {
    const told = events.filter((event) => carries(channel, event))
    if (told.length === 0) return
    session.queue.push(...told.map(({ data }) => ({ channel, data })))
    session.wake?.()
  }

  const subscribe = (session: Session, message: Json): Json => {
    const reply = {
      channel: '/meta/subscribe',
      clientId: message.clientId,
      subscription: message.subscription,
    }
    const refuse = (error: string) => ({ ...reply, successful: false, error })
    const channel = String(message.subscription)
    if (channel !== all && !OBJECTS.map(ofObject).includes(channel)) {
      return refuse(`403:denied_by_security_policy:create_denied`)
    }
    const from = Object((message.ext as Json | undefined)?.replay)[channel]
    if (typeof from !== 'number') return refuse('400::The replayId is missing')
    replays.push(from)
    if (from >= 0 && (from < oldest || from > replayId)) {
      return refuse(
        `400::The replayId {${from}} you provided was invalid.  Please provide a valid ID, -2 to replay all events, or -1 to replay only new events.`,
      )
    }
    session.channels.add(channel)
    if (from !== -1) {
      deliver(
        session,
        channel,
        kept.filter((one) => one.replayId > from),
      )
    }
    return { ...reply, successful: true }
  }

  const connect = async (session: Session, message: Json): Promise<Json[]> => {
    if (session.queue.length === 0 && !closed) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pollMs)
        session.wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      session.wake = undefined
    }
    const events = session.queue.map((one) => ({ ...one, clientId: message.clientId }))
    session.queue = []
    return [...events, { channel: '/meta/connect', clientId: message.clientId, successful: true }]
  }

  return {
    async answer(message, cookies, isKnown) {
      const channelName = String(message.channel)
      if (!isKnown) {
        const advice = { reconnect: 'none', interval: 0 }
        const isGreeting = channelName === '/meta/handshake'
        const said = isGreeting
          ? {
              error: '403::Handshake denied',
              ext: { sfdc: { failureReason: '401::Authentication invalid' } },
            }
          : { error: '401::Authentication invalid' }
        return { messages: [{ channel: channelName, successful: false, advice, ...said }] }
      }
      if (channelName === '/meta/handshake') {
        const types = message.supportedConnectionTypes
        if (message.version !== '1.0' || !Array.isArray(types) || !types.includes('long-polling')) {
          return { messages: [{ channel: channelName, successful: false, error: '400::bad handshake' }] }
        }
        const clientId = randomBytes(12).toString('hex')
        const cookie = `BAYEUX_BROWSER=${randomBytes(8).toString('hex')}`
        sessions.set(clientId, { cookie, queue: [], channels: new Set(), wake: undefined })
        const reply = {
          channel: channelName,
          version: '1.0',
          minimumVersion: '1.0',
          clientId,
          successful: true,
        }
        const more = { supportedConnectionTypes: ['long-polling'], ext: { replay: true } }
        return { messages: [{ ...reply, ...more }], cookie }
      }
      const session = sessions.get(String(message.clientId))
      if (!session || !cookies.split('; ').includes(session.cookie)) {
        const advice = { reconnect: 'handshake', interval: 0 }
        return {
          messages: [{ channel: channelName, successful: false, error: '403::Unknown client', advice }],
        }
      }
      if (channelName === '/meta/subscribe') return { messages: [subscribe(session, message)] }
      if (channelName === '/meta/connect') return { messages: await connect(session, message) }
      if (channelName === '/meta/disconnect') {
        sessions.delete(String(message.clientId))
        return { messages: [{ channel: channelName, successful: true }] }
      }
      return { messages: [{ channel: channelName, successful: false, error: '404::unknown channel' }] }
    },

    publish({ entityName, recordIds, changeType, changedFields }) {
      replayId += 1 + (replayId % 3)
      const header = {
        entityName,
        recordIds,
        changeType,
        changeOrigin: 'com/salesforce/api/rest/61.0;client=simulator',
        transactionKey: randomUUID(),
        sequenceNumber: 1,
        commitTimestamp: Date.now(),
        commitNumber: replayId * 7,
        commitUser: '0055gK000000001AAA',
        changedFields,
      }
      const data = { schema: 'simulated', payload: { ChangeEventHeader: header }, event: { replayId } }
      const one = { replayId, entityName, data }
      kept.push(one)
      for (const session of sessions.values()) {
        for (const channel of session.channels) deliver(session, channel, [one])
      }
    },

    forget() {
      kept.length = 0
      oldest = replayId + 1
      replayId += 10
    },

    dropSessions() {
      for (const session of sessions.values()) session.wake?.()
      sessions.clear()
    },

    replays,

    get subscribers() {
      return [...sessions.values()].filter(({ channels }) => channels.size > 0).length
    },

    close() {
      closed = true
      for (const session of sessions.values()) session.wake?.()
    },
  }
}
