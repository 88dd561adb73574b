/**
 * The few sessions that a licence allows. Each carries one request at a time; whoever finds none free waits in
 * line. Logging in is slow (3–8 s) and locks the user after some wrong passwords, so there is never more than
 * one login on its way, it outlives the request that needed it, and a refusal is remembered.
 */
import { SourceError, type SourceFailure } from '../failure.ts'

export interface Session {
  /** Under which it is remembered beyond this process. */
  readonly id: string
  /** What to send back in the `Cookie` header: both cookies, B1SESSION and ROUTEID. */
  readonly cookie: string
  /** The vendor's version, for example `1000290`. */
  readonly version: string
  /** Whether some request was answered in this session: if not, a refusal cannot mean that it has expired. */
  proven: boolean
}

export interface SessionPoolOptions {
  readonly max: number
  /** How long a request waits in line. */
  readonly waitMs: number
  /** @throws SourceError */
  readonly login: () => Promise<Session>
  /** Sessions that processes of this gateway left open when they were killed. Never throws. */
  readonly left: () => Promise<readonly Session[]>
  /** Never throws. */
  readonly logout: (session: Session) => Promise<void>
}

interface Waiter {
  readonly take: (session: Session) => void
  readonly fail: (failure: SourceFailure) => void
}

/** Refused credentials are not tried again for this long, so that a wrong password does not lock the user. */
const REFUSED_PAUSE_MS = 30_000
/** With sessions to wait for, one more is not asked for again at once: the licences may be used up. */
const FAILED_PAUSE_MS = 5_000

export class SessionPool {
  readonly #options: SessionPoolOptions
  readonly #idle: Session[] = []
  readonly #waiting: Waiter[] = []
  /** Idle, busy, and the one being opened. */
  #count = 0
  #login: Promise<void> | undefined
  #pausedUntil = 0
  #refusal: SourceFailure | undefined
  #closed: (() => void) | undefined
  #version = ''

  constructor(options: SessionPoolOptions) {
    this.#options = options
  }

  /** Of the last login; empty before. */
  get version(): string {
    return this.#version
  }

  /** Whether the next to ask for a session need not wait. */
  get isFree(): boolean {
    return this.#idle.length > 0
  }

  /** @throws SourceError Nothing has been sent when it does. */
  acquire(signal?: AbortSignal): Promise<Session> {
    if (this.#closed) throw new SourceError(unavailable('aborted', 'shutting down'))
    if (signal?.aborted) throw new SourceError(unavailable('aborted', 'nobody waits any more'))
    if (this.#refusal && Date.now() < this.#pausedUntil) throw new SourceError(this.#refusal)
    return new Promise<Session>((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        const at = this.#waiting.indexOf(waiter)
        if (at >= 0) this.#waiting.splice(at, 1)
      }
      const waiter: Waiter = {
        take(session) {
          leave()
          resolve(session)
        },
        fail(failure) {
          leave()
          reject(new SourceError(failure))
        },
      }
      const abort = () => waiter.fail(unavailable('aborted', 'nobody waits any more'))
      const timer = setTimeout(
        () =>
          waiter.fail(
            this.#login
              ? unavailable('timeout', 'the login takes longer')
              : unavailable('overloaded', `all ${this.#options.max} sessions are busy`),
          ),
        this.#options.waitMs,
      )
      signal?.addEventListener('abort', abort)
      this.#waiting.push(waiter)
      this.#serve()
    })
  }

  /** Gives a session back that can be used again. */
  release(session: Session): void {
    if (this.#closed) {
      void this.#options.logout(session).then(() => this.#forget())
      return
    }
    this.#idle.push(session)
    this.#serve()
  }

  /** Gives a session back that the vendor has ended. */
  discard(): void {
    this.#forget()
    this.#serve()
  }

  /** Logs out what is idle, and what is busy as soon as it is given back, but waits for that only `graceMs`. */
  async close(graceMs: number): Promise<void> {
    if (this.#closed) return
    const emptied = new Promise<void>((resolve) => {
      this.#closed = resolve
    })
    for (const waiter of [...this.#waiting]) waiter.fail(unavailable('aborted', 'shutting down'))
    for (const session of this.#idle.splice(0)) this.release(session)
    if (this.#count === 0) return
    let timer: NodeJS.Timeout | undefined
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs)
    })
    await Promise.race([emptied, grace])
    clearTimeout(timer)
  }

  #forget(): void {
    this.#count--
    if (this.#count === 0) this.#closed?.()
  }

  #serve(): void {
    while (this.#waiting.length > 0) {
      // The one used last: the others may rest until the vendor ends them.
      const session = this.#idle.pop()
      if (!session) break
      this.#waiting[0]?.take(session)
    }
    if (this.#waiting.length === 0 || this.#login || this.#count >= this.#options.max) return
    if (this.#count > 0 && Date.now() < this.#pausedUntil) return
    this.#count++
    this.#login = this.#open().finally(() => {
      this.#login = undefined
      if (!this.#closed) this.#serve()
    })
  }

  async #open(): Promise<void> {
    try {
      // Looked for every time: who was killed on another machine is known to be gone only after a while.
      const [left, ...more] = await this.#options.left()
      const session = left ?? (await this.#options.login())
      this.#version = session.version
      this.#refusal = undefined
      this.release(session)
      for (const one of more) {
        if (this.#count >= this.#options.max) void this.#options.logout(one)
        else {
          this.#count++
          this.release(one)
        }
      }
    } catch (error) {
      this.#forget()
      const failure: SourceFailure =
        error instanceof SourceError
          ? error.failure
          : { kind: 'invalid-response', detail: `login: ${String(error)}` }
      const refused = failure.kind === 'unauthorized'
      this.#refusal = refused ? failure : undefined
      this.#pausedUntil = Date.now() + (refused ? REFUSED_PAUSE_MS : FAILED_PAUSE_MS)
      // While other sessions work, those in line may still get one of them.
      if (refused || this.#count === 0) for (const waiter of [...this.#waiting]) waiter.fail(failure)
    }
  }
}

function unavailable(reason: 'timeout' | 'overloaded' | 'aborted', detail: string): SourceFailure {
  return { kind: 'unavailable', reason, detail: `waiting for a session: ${detail}` }
}
