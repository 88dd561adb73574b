/**
 * Places in the log as clients hold them: opaque, signed for those who may see the same, and belonging to one log.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { type Caller, scopeKey } from '../caller/caller.ts'

export interface Place {
  readonly position: number
  /** Milliseconds since 1970: when the event at that position came into the log. */
  readonly at: number
}

export type CursorVerdict =
  | { readonly ok: true; readonly place: Place }
  | { readonly ok: false; readonly reason: 'invalid' }
  /** Of a log that is gone: its signature cannot be judged, and nothing depends on it. */
  | { readonly ok: false; readonly reason: 'other-log'; readonly at: number }

export interface Cursors {
  of(place: Place, caller: Caller): string
  read(cursor: string, caller: Caller): CursorVerdict
}

const VERSION = '1'

export function createCursors(epoch: string, secret: string): Cursors {
  const sign = (text: string, caller: Caller) =>
    createHmac('sha256', secret)
      .update(text + scopeKey(caller))
      .digest('base64url')
      .slice(0, 16)
  return {
    of({ position, at }, caller) {
      const text = `${VERSION}.${epoch}.${position}.${at}`
      return Buffer.from(`${text}.${sign(text, caller)}`).toString('base64url')
    },

    read(cursor, caller) {
      const parts = Buffer.from(cursor, 'base64url').toString('utf8').split('.')
      const [version, ofEpoch, position, at, signature = ''] = parts
      const isWellFormed =
        parts.length === 5 && version === VERSION && /^\d+$/.test(position ?? '') && /^\d+$/.test(at ?? '')
      if (!isWellFormed) return { ok: false, reason: 'invalid' }
      if (ofEpoch !== epoch) return { ok: false, reason: 'other-log', at: Number(at) }
      const expected = Buffer.from(sign(`${version}.${ofEpoch}.${position}.${at}`, caller))
      const given = Buffer.from(signature)
      if (given.length !== expected.length || !timingSafeEqual(given, expected))
        return { ok: false, reason: 'invalid' }
      return { ok: true, place: { position: Number(position), at: Number(at) } }
    },
  }
}
