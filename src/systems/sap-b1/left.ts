/**
 * Sessions beyond the process that opened them: whoever is killed logs nobody out, and the vendor keeps the licence for
 * half an hour. The next process finds them, sealed with the password that opened them, and goes on in them.
 */
import { z } from 'zod'
import { parseJson } from '../kit/json.ts'
import { createSeal } from '../kit/seal.ts'
import type { AdapterContext } from '../port.ts'
import type { SapB1Config } from './config.ts'
import type { Session } from './sessions.ts'

export interface Left {
  /** Does not wait: a session that is lost in this moment costs what all did before. */
  remember(session: Session): void
  /** It is over. Never throws. */
  forget(session: Session): Promise<void>
  /** Those of processes that are gone. Never throws. */
  take(): Promise<readonly Session[]>
}

const sessionSchema = z.object({ cookie: z.string().min(1), version: z.string() })

export function createLeft(config: SapB1Config, { holdings, log, systemId }: AdapterContext): Left {
  if (!holdings) return { remember() {}, forget: async () => {}, take: async () => [] }
  // A session belongs to one user of one company; another's must not be taken for it.
  const { baseUrl, companyDb, username, language } = config
  const seal = createSeal(config.password, JSON.stringify([baseUrl, companyDb, username, language]))
  const remembering = new Map<string, Promise<void>>()
  const quietly = (work: Promise<void>): Promise<void> =>
    work.catch((error: unknown) => {
      log.warn(
        { system: systemId, error: String(error) },
        'a session is not remembered: killed now, it would stay open',
      )
    })

  return {
    remember({ id, cookie, version }) {
      const work = async () => holdings.hold(id, await seal.close(JSON.stringify({ cookie, version })))
      remembering.set(id, quietly(work()))
    },
    async forget({ id }) {
      await remembering.get(id)
      remembering.delete(id)
      await quietly(holdings.release(id))
    },
    async take() {
      const taken = await holdings.takeOver().catch(() => [])
      const sessions: Session[] = []
      for (const { id, sealed } of taken) {
        const text = await seal.open(sealed)
        const session = text === null ? null : sessionSchema.safeParse(parseJson(text, 'session')).data
        // It worked once: that it is over now is no refusal of our credentials.
        if (session) sessions.push({ id, ...session, proven: true })
        // Of another user, or the password was changed: it ends by its timeout.
        else await quietly(holdings.release(id))
      }
      return sessions
    },
  }
}
