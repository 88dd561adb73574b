/**
 * Reads that have no session to go in wait together, whatever they ask for, and share the next one: a `$batch`
 * instead of a call each. Where a session is free nobody waits.
 */
import { SourceError } from '../failure.ts'
import type { HttpAnswer } from '../kit/http.ts'
import type { Session, SessionPool } from './sessions.ts'

export interface Read {
  /** Below the service root, with its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

export interface GatheringOptions {
  /** The most reads of one call; 1: no `$batch`. */
  readonly most: number
  readonly sessions: Pick<SessionPool, 'acquire' | 'release' | 'isFree'>
  /**
   * Sends these in this session and gives it back. Fewer answers than reads: the vendor stops at the first part that
   * fails. @throws SourceError
   */
  send(session: Session, reads: readonly Read[], signal: AbortSignal): Promise<readonly HttpAnswer[]>
}

export interface Gathering {
  /** One promise per read, same order; those of one call travel together. They reject with a SourceError. */
  ask(reads: readonly Read[], signal?: AbortSignal): Promise<HttpAnswer>[]
}

interface Waiting {
  readonly read: Read
  readonly answer: PromiseWithResolvers<HttpAnswer>
  /** Nobody waits for it any more. */
  left: boolean
  onLeave: () => void
}

export function createGathering({ most, sessions, send }: GatheringOptions): Gathering {
  const waiting: Waiting[] = []
  /** Sessions asked for whose turn has not come. */
  let turns = 0

  const takeTurns = () => {
    while (waiting.length > turns * most) void takeTurn()
  }

  const takeTurn = async (): Promise<void> => {
    turns++
    const present = [...waiting]
    let session: Session
    try {
      session = await sessions.acquire()
    } catch (error) {
      turns--
      // Who came later may still have better luck.
      for (const item of present) if (take(item)) item.answer.reject(error)
      takeTurns()
      return
    }
    // With more sessions about to come, each takes its share.
    const batch = waiting.splice(0, Math.min(most, Math.ceil(waiting.length / turns)))
    turns--
    if (batch.length === 0) return sessions.release(session)
    const abandoned = new AbortController()
    for (const item of batch) {
      item.onLeave = () => {
        if (batch.every(({ left }) => left)) abandoned.abort()
      }
    }
    try {
      const answers = await send(
        session,
        batch.map(({ read }) => read),
        abandoned.signal,
      )
      settle(batch, answers)
    } catch (error) {
      for (const { answer } of batch) answer.reject(error)
    }
  }

  const settle = (batch: readonly Waiting[], answers: readonly HttpAnswer[]) => {
    const last = answers.at(-1)
    const stopped = answers.length < batch.length
    if (!last || answers.length > batch.length || (stopped && last.status < 400)) {
      const detail = `$batch: ${answers.length} answers to ${batch.length} requests`
      throw new SourceError({ kind: 'invalid-response', detail })
    }
    for (const [at, answer] of answers.entries()) batch[at]?.answer.resolve(answer)
    // What was behind the part that failed has not been looked at.
    waiting.unshift(...batch.slice(answers.length).filter(({ left }) => !left))
    takeTurns()
  }

  const take = (item: Waiting): boolean => {
    const at = waiting.indexOf(item)
    if (at >= 0) waiting.splice(at, 1)
    return at >= 0
  }

  return {
    ask(reads, signal) {
      const items = reads.map((read): Waiting => {
        const item: Waiting = {
          read,
          answer: Promise.withResolvers(),
          left: false,
          onLeave: () => take(item),
        }
        return item
      })
      for (const item of items) {
        const leave = () => {
          item.left = true
          item.onLeave()
          item.answer.reject(LEFT)
        }
        if (signal?.aborted) {
          leave()
          continue
        }
        waiting.push(item)
        signal?.addEventListener('abort', leave, { once: true })
        const over = () => signal?.removeEventListener('abort', leave)
        item.answer.promise.then(over, over)
      }
      if (sessions.isFree && waiting.length > 0) void takeTurn()
      takeTurns()
      return items.map(({ answer }) => answer.promise)
    },
  }
}

const LEFT = new SourceError({
  kind: 'unavailable',
  reason: 'aborted',
  detail: 'waiting for a session: nobody waits any more',
})
