/** The server's side of the benchmark, whatever the server. `PROFILE=DIR` writes a CPU profile of what each `send` costs. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { setTimeout as delay } from 'node:timers/promises'
import type { Sent, Shape, Usage } from './messages.ts'

export interface Subject {
  /** @param subgraphs Where those are that another process serves, by name. @returns URLs that others are told. */
  start(shape: Shape, subgraphs: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>>
  /** Makes one event. @param onHand Carries the moment, in microseconds. */
  tell?(sku: string, onHand: string, position: number): Promise<void>
  ingest?(seconds: number): Promise<object>
  webhooks?(seconds: number): Promise<object>
}

export type Question = Shape & {
  readonly ask: 'start' | 'usage' | 'send' | 'ingest' | 'webhooks'
  readonly rate: number
  readonly events: number
  readonly seconds: number
  readonly lookOnly?: boolean
  readonly subgraphs?: Readonly<Record<string, string>>
}

/** Events on their way into a server that has not taken them yet. */
const UNDER_WAY = 500

export function serve(subject: Subject): void {
  let rssAtStart = 0
  let profiling: Session | undefined

  const answer = async (question: Question): Promise<object> => {
    switch (question.ask) {
      case 'start': {
        const urls = await subject.start(question, question.subgraphs ?? {})
        global.gc?.()
        rssAtStart = process.memoryUsage().rss
        return urls
      }
      case 'usage': {
        // The first question of a measurement begins its profile, the second ends it.
        const folder = process.env.PROFILE
        if (folder && !question.lookOnly)
          profiling = profiling ? await writeProfile(profiling, folder) : await profile()
        const { user, system } = process.cpuUsage()
        const usage: Usage = { cpuMs: (user + system) / 1_000, rss: process.memoryUsage().rss, rssAtStart }
        return usage
      }
      case 'ingest':
        return (await subject.ingest?.(question.seconds)) ?? {}
      case 'webhooks':
        return (await subject.webhooks?.(question.seconds)) ?? {}
      case 'send':
        return send(subject, question)
    }
  }
  process.on('message', (question: Question) => {
    answer(question).then(
      (value) => process.send?.(value),
      (error: unknown) => process.send?.({ error: String(error) }),
    )
  })
  process.on('disconnect', () => process.exit())
}

/** At the rate, however late: who cannot follow has the rest at once, as from feeds that do not wait either. */
async function send(subject: Subject, { operations, matching, rate, events }: Question): Promise<Sent> {
  const skus = operations / matching
  const underWay = new Set<Promise<void>>()
  const began = performance.now()
  let failure: unknown
  for (let at = 0; at < events && !failure; at++) {
    const due = (at / rate) * 1_000 - (performance.now() - began)
    if (due > 0) await delay(due)
    while (underWay.size >= UNDER_WAY) await Promise.race(underWay)
    // Never the same figure twice.
    const moment = Math.round((performance.timeOrigin + performance.now()) * 1_000)
    const told = subject.tell?.(`SKU-${at % skus}`, String(moment), at).then(
      () => void underWay.delete(told),
      (error: unknown) => {
        failure = error
      },
    ) as Promise<void>
    underWay.add(told)
  }
  await Promise.all(underWay)
  if (failure) throw failure
  return { events, ms: performance.now() - began }
}

async function profile(): Promise<Session> {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
  return session
}

async function writeProfile(session: Session, folder: string): Promise<undefined> {
  const { profile: found } = await session.post('Profiler.stop')
  writeFileSync(`${folder}/${process.pid}-${Date.now()}.cpuprofile`, JSON.stringify(found))
  session.disconnect()
}
