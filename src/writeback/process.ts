/** Which processes of this store are alive: work that a dead one held may be taken over, work of a living one not. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { releaseLeases, type Store, takeLease } from '../store/store.ts'

export interface Membership {
  /** Names this process in leases. */
  readonly owner: string
  isAlive(owner: string): Promise<boolean>
  /** Whether this process may still believe that it holds what it held. */
  isCurrent(): boolean
  leave(): Promise<void>
}

const BEAT_MS = 3_000
const LEASE_MS = 12_000

export async function joinStore(store: Store): Promise<Membership> {
  const owner = `${hostname()}/${process.pid}/${randomBytes(4).toString('hex')}`
  let heldUntil = 0
  const beat = async () => {
    const until = Date.now() + LEASE_MS
    if (await takeLease(store, `process/${owner}`, owner, LEASE_MS)) heldUntil = until
  }
  await beat()
  const timer = setInterval(() => void beat().catch(() => {}), BEAT_MS)
  timer.unref()

  return {
    owner,
    async isAlive(other) {
      if (other === owner) return true
      if (isDeadHere(other)) return false
      const lease = await store.read
        .selectFrom('lease')
        .select('until')
        .where('name', '=', `process/${other}`)
        .executeTakeFirst()
      return Number(lease?.until ?? 0) > Date.now()
    },
    isCurrent: () => Date.now() < heldUntil,
    async leave() {
      clearInterval(timer)
      await releaseLeases(store, owner)
    },
  }
}

/** A process of this machine that is gone need not be waited for. */
function isDeadHere(owner: string): boolean {
  const [host, pid] = owner.split('/')
  if (host !== hostname()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
