/** What a configured system tells us: its signature is looked at, then an expression says what happened. */
import { z } from 'zod'
import { failureText, SourceError } from '../failure.ts'
import type { WebhookSettings } from '../kit/rest/settings.ts'
import { verifySignature } from '../kit/rest/webhook.ts'
import type { Notification, WebhookReceiver } from '../port.ts'
import type { RecordType } from '../records.ts'
import { compileExpression, ExpressionError, listOf, textOf, type Vocabulary } from './expressions.ts'
import { toDateTime } from './times.ts'
import { type Format, readBody } from './wire.ts'

export interface HttpWebhook {
  readonly signature: WebhookSettings
  readonly format: Format
  readonly events: string
}

/** A body may tell of so many at once. */
const MAX_EVENTS = 1_000

const text = z
  .unknown()
  .transform(textOf)
  .pipe(z.string({ error: 'is missing' }).min(1, 'is empty').max(500, 'is longer than 500'))

/** @param types Those that the system holds; events about others are no news here. */
export function createWebhook(
  { signature, format, events }: HttpWebhook,
  types: readonly RecordType[],
  vocabulary: Vocabulary,
): WebhookReceiver {
  const expression = compileExpression(events, vocabulary)
  const event = z.looseObject({
    id: text,
    type: text,
    key: text,
    change: z.enum(['created', 'updated', 'deleted']).default('updated'),
    time: text.transform((given, context) => {
      const time = toDateTime(given, vocabulary.clock)
      if (time === undefined) context.addIssue(`"${given.slice(0, 40)}" is no date-time`)
      return time ?? ''
    }),
  })

  return {
    receive(request, now) {
      const verdict = verifySignature(signature, request, now)
      return verdict.ok ? { ok: true, notifications: [] } : verdict
    },

    async readLater(request) {
      const malformed = (detail: string) => ({ ok: false, reason: 'malformed', detail }) as const
      let told: readonly unknown[]
      try {
        const body = readBody(format, request.body.toString('utf8'), 'webhook')
        told = listOf(await expression.evaluate(body))
      } catch (error) {
        if (error instanceof ExpressionError) return malformed(`events: ${error.message}`)
        if (error instanceof SourceError) return malformed(failureText(error.failure))
        throw error
      }
      if (told.length > MAX_EVENTS) return malformed(`more than ${MAX_EVENTS} events at once`)
      const notifications: Notification[] = []
      for (const [at, one] of told.entries()) {
        const read = event.safeParse(one)
        if (!read.success) {
          const [issue] = read.error.issues
          return malformed(`events[${at}].${issue?.path.join('.')}: ${issue?.message}`)
        }
        const { id, key, change, time } = read.data
        const type = types.find((known) => known === read.data.type)
        if (type) notifications.push({ id, type, key, change, time })
      }
      return { ok: true, notifications }
    },
  }
}
