/**
 * How many calls a system may get in a day, counted over all processes of the store and over their restarts. Each
 * process takes a block of calls at a time: a call costs no look into the store, and a process that dies takes what
 * is left of its block with it, so that the limit is never passed.
 */
import type { Store } from '../store/store.ts'

export interface DayCalls {
  /** Takes one call. @returns False where the day's are used. Rejects where the store cannot be asked. */
  take(): Promise<boolean>
  /** It was taken and not made. */
  putBack(): void
  /** Gives back what was not used. */
  close(): Promise<void>
}

/** Where calls are counted. */
export interface CallCounter {
  /**
   * @param day Days since 1970, UTC.
   * @param wanted How many calls; negative: given back.
   * @returns How many of them there still were.
   */
  claim(day: number, wanted: number): Promise<number>
}

export const DAY_MS = 86_400_000

/** A fiftieth of the day's calls may be lost with a process; more than this at once saves nothing. */
const MAX_BLOCK = 500
/** Another process may have given back some. */
const LOOK_AGAIN_MS = 30_000
/** Blocks of fewer calls are not taken ahead: another process may need them. */
const WORTH_TAKING_AHEAD = 10

export function createDayCalls(counter: CallCounter, perDay: number, now: () => number = Date.now): DayCalls {
  const block = Math.min(MAX_BLOCK, Math.ceil(perDay / 50))
  let day = -1
  let left = 0
  let usedUpUntil = 0
  let claiming: Promise<void> | undefined

  const turnDay = () => {
    const today = Math.floor(now() / DAY_MS)
    if (today === day) return
    day = today
    left = 0
    usedUpUntil = 0
  }
  const claim = async () => {
    const of = day
    const granted = await counter.claim(of, block)
    if (of !== day) return
    left += granted
    if (granted === 0) usedUpUntil = now() + LOOK_AGAIN_MS
  }
  const claimOnce = () => {
    claiming ??= claim().finally(() => {
      claiming = undefined
    })
    return claiming
  }

  return {
    async take() {
      turnDay()
      while (left === 0) {
        if (now() < usedUpUntil) return false
        await claimOnce()
        turnDay()
      }
      left--
      if (block >= WORTH_TAKING_AHEAD && left <= block / 2 && now() >= usedUpUntil) {
        claimOnce().catch(() => {}) // asked again, and told, when it is needed
      }
      return true
    },
    putBack() {
      left++
    },
    async close() {
      await claiming?.catch(() => {})
      turnDay()
      if (left > 0) await counter.claim(day, -left)
      left = 0
    },
  }
}

/** For a process alone. */
export function countHere(perDay: number): CallCounter {
  let day = -1
  let taken = 0
  return {
    async claim(of, wanted) {
      if (of > day) {
        day = of
        taken = 0
      }
      const granted = of === day ? Math.min(wanted, perDay - taken) : 0
      taken += granted
      return granted
    },
  }
}

/** For all processes of a store. */
export function countInStore(store: Store, system: string, perDay: number): CallCounter {
  const name = `calls of the day: ${system}`
  return {
    claim: (day, wanted) =>
      store.transact(async (tx) => {
        const row = await tx.selectFrom('meta').select('value').where('name', '=', name).executeTakeFirst()
        const [ofDay = 0, ofCalls = 0] = row ? (JSON.parse(row.value) as number[]) : []
        // A clock behind the others' gets nothing of a day that is over.
        if (ofDay > day) return 0
        const taken = ofDay === day ? ofCalls : 0
        const granted = Math.min(wanted, Math.max(0, perDay - taken))
        const value = JSON.stringify([day, taken + granted])
        await tx
          .insertInto('meta')
          .values({ name, value })
          .onConflict((conflict) => conflict.column('name').doUpdateSet({ value }))
          .execute()
        return granted
      }),
  }
}
