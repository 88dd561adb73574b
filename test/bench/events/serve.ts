/** The server's side of the benchmark, whatever the server. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Subject {
  start(operations: number): Promise<string>
  /** Makes one event. @param onHand Carries the moment, in microseconds. */
  tell(sku: string, onHand: string, position: number): Promise<void>
  ingest?(seconds: number): Promise<object>
}

interface Question {
  readonly ask: 'start' | 'usage' | 'send' | 'ingest'
  readonly operations: number
  readonly matching: number
  readonly rate: number
  readonly seconds: number
}

export function serve(subject: Subject): void {
  let rssAtStart = 0
  const answer = async (question: Question): Promise<object> => {
    switch (question.ask) {
      case 'start': {
        const url = await subject.start(question.operations)
        global.gc?.()
        rssAtStart = process.memoryUsage().rss
        return { url }
      }
      case 'usage': {
        const { user, system } = process.cpuUsage()
        return { cpuMs: (user + system) / 1_000, rss: process.memoryUsage().rss, rssAtStart, events: 0 }
      }
      case 'ingest':
        return (await subject.ingest?.(question.seconds)) ?? {}
      case 'send': {
        const skus = question.operations / question.matching
        const began = performance.now()
        let events = 0
        for (; performance.now() - began < question.seconds * 1_000; events++) {
          const due = (events / question.rate) * 1_000 - (performance.now() - began)
          if (due > 0) await delay(due)
          const moment = Math.round((performance.timeOrigin + performance.now()) * 1_000)
          // Never the same figure twice.
          await subject.tell(`SKU-${events % skus}`, String(moment), events)
        }
        return { events, cpuMs: 0, rss: 0, rssAtStart: 0 }
      }
    }
  }
  process.on('message', (question: Question) => {
    answer(question).then(
      (value) => process.send?.(value),
      (error: unknown) => process.send?.({ error: String(error) }),
    )
  })
}
