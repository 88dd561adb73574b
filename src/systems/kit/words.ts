/** A vendor's words as they may be told: on one line, without the secrets that they repeat. */
import { oneLine } from '../failure.ts'

export interface Words {
  tidy(text: string): string
  /** Takes a token or a session that is in use from now on for a secret too. */
  hide(secret: string): void
  /** The same for every value of a `Cookie` header. */
  hideCookies(header: string): void
}

/** Sessions come and go: so many of the last are remembered. */
const REMEMBERED = 32
/** Anything shorter would hide half of every sentence. */
const SHORTEST = 3
/** Shorter cookies name a node or a client, not a session. */
const SHORTEST_COOKIE = 12

/** @param most Characters of what is told. */
export function createWords(secrets: readonly string[], most: number): Words {
  const passing: string[] = []
  const hide = (secret: string) => {
    if (passing.includes(secret)) return
    passing.push(secret)
    if (passing.length > REMEMBERED) passing.shift()
  }
  return {
    tidy(text) {
      const hidden = [...secrets, ...passing].filter((secret) => secret.length >= SHORTEST)
      return oneLine(
        hidden.reduce((shown, secret) => shown.replaceAll(secret, '***'), text),
        most,
      )
    },
    hide,
    hideCookies(header) {
      for (const part of header.split(';')) {
        const value = part.slice(part.indexOf('=') + 1).trim()
        if (value.length >= SHORTEST_COOKIE) hide(value)
      }
    },
  }
}
