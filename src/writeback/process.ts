/** Which processes of this store are alive: work that a dead one held may be taken over, work of a living one not. */
import { randomBytes } from 'node:crypto'
import { isDeadHere, placeOf } from '../store/owner.ts'
import { releaseLeases, type Store, takeLease } from '../store/store.ts'

export interface Membership {
  /**
   * Names this process in leases. A process that stood still for longer than its lease comes back under another name:
   * what it held under the old one may belong to somebody else.
   */
  readonly owner: string
  isAlive(owner: string): Promise<boolean>
  /** Whether this process may still believe that it holds what it took under this name. */
  isCurrent(owner: string): boolean
  leave(): Promise<void>
}

export interface MembershipOptions {
  /** How often the lease is renewed. Default: a quarter of it. */
  readonly beatMs?: number
  /** How long it lasts. Default 12 s. */
  readonly leaseMs?: number
}

/** Others wait longer than the lease lasts: their clocks, and the way to the store, take time too. */
const GRACE = 0.25

export async function joinStore(store: Store, options: MembershipOptions = {}): Promise<Membership> {
  const { leaseMs = 12_000, beatMs = leaseMs / 4 } = options
  const base = `${placeOf()}/${process.pid}/${randomBytes(4).toString('hex')}`
  const names: string[] = []
  let heldUntil = { wall: 0, steady: 0 }
  const isHeld = () => Date.now() < heldUntil.wall && performance.now() < heldUntil.steady

  const beat = async () => {
    // The lapse is noticed before it is mended: whatever was held is held no more.
    const isRenewal = isHeld()
    if (!isRenewal) names.push(`${base}.${names.length}`)
    const owner = names.at(-1) as string
    // One clock goes on while the machine sleeps, the other is never set back.
    const until = { wall: Date.now() + leaseMs, steady: performance.now() + leaseMs }
    const isTaken = await takeLease(store, `process/${owner}`, owner, leaseMs)
    // The store can be slower than the lease: who asked meanwhile was told that it is lost, and has let go of its work.
    if (isTaken && (!isRenewal || isHeld())) heldUntil = until
  }
  await beat()
  let beating = false
  const timer = setInterval(() => {
    if (beating) return
    beating = true
    beat()
      .catch(() => {})
      .finally(() => {
        beating = false
      })
  }, beatMs)
  timer.unref()

  // Judged by our own clock: a lease that has not been renewed for so long, whatever time its owner writes.
  const seen = new Map<string, { until: number; since: number }>()
  const isAlive = async (other: string): Promise<boolean> => {
    if (names.includes(other)) return other === names.at(-1)
    if (isDeadHere(other)) return false
    const lease = await store.read
      .selectFrom('lease')
      .select('until')
      .where('name', '=', `process/${other}`)
      .executeTakeFirst()
    if (!lease) return false
    const now = performance.now()
    const last = seen.get(other)
    if (!last || last.until !== lease.until) {
      seen.set(other, { until: lease.until, since: now })
      return true
    }
    return now - last.since < leaseMs * (1 + GRACE)
  }

  return {
    get owner() {
      return names.at(-1) as string
    },
    isAlive,
    isCurrent: (owner) => owner === names.at(-1) && isHeld(),
    async leave() {
      clearInterval(timer)
      for (const name of names) await releaseLeases(store, name)
    },
  }
}
