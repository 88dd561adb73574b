/** Webhooks to others, as operators see them. */
import type { Delivery, Endpoint, RetryPolicy } from '../../src/events/outbound.ts'
import type { Rooms, SubgraphContext } from '../kit/context.ts'
import { badInput } from '../kit/errors.ts'
import { connectionOf, decodeCursor, encodeCursor, pageSize } from '../kit/records.ts'
import { given, requireRole } from '../kit/writes.ts'

interface RegisterWebhookInput {
  readonly url: string
  readonly events: readonly string[]
  readonly secret?: string | null
  readonly retryPolicy?: Partial<RetryPolicy> | null
}

export function webhookResolvers(rooms: Rooms) {
  const { outbound } = rooms
  const operator = (context: SubgraphContext) => {
    requireRole(context, 'operator')
    return context.caller
  }
  const known = (endpoint: Endpoint | null, id: string): Endpoint => {
    if (endpoint) return endpoint
    throw badInput(`There is no webhook "${id.slice(0, 80)}".`, 'id')
  }

  return {
    Query: {
      webhooks: (_: unknown, _args: unknown, context: SubgraphContext) => outbound.list(operator(context)),
      webhook: (_: unknown, { id }: { id: string }, context: SubgraphContext) =>
        outbound.get(operator(context), id),
    },
    Mutation: {
      async registerWebhook(
        _: unknown,
        { input }: { input: RegisterWebhookInput },
        context: SubgraphContext,
      ) {
        const caller = operator(context)
        check(input)
        const { url, events, secret, retryPolicy } = input
        const made = await outbound.register(caller, {
          url,
          events,
          secret: secret ?? undefined,
          retryPolicy: given(retryPolicy ?? {}),
        })
        return { webhook: made.endpoint, secret: made.secret }
      },
      async setWebhookActive(
        _: unknown,
        { id, active }: { id: string; active: boolean },
        context: SubgraphContext,
      ) {
        return known(await outbound.setActive(operator(context), id, active), id)
      },
      async deleteWebhook(_: unknown, { id }: { id: string }, context: SubgraphContext) {
        return outbound.remove(operator(context), id)
      },
      async replayWebhook(
        _: unknown,
        { id, delivery }: { id: string; delivery?: string | null },
        context: SubgraphContext,
      ) {
        const caller = operator(context)
        known(await outbound.get(caller, id), id)
        return outbound.replay(caller, id, delivery ?? undefined)
      },
    },
    Webhook: {
      state: ({ state }: Endpoint) => state.toUpperCase(),
      async deliveries({ id }: Endpoint, args: { first?: number; after?: string; state?: string }) {
        const size = pageSize(args.first, 20)
        const list = `deliveries/${id}/${args.state ?? ''}`
        const [before] = args.after ? decodeCursor(list, args.after) : []
        const found = await outbound.deliveries(id, {
          first: size + 1,
          before: before === undefined ? undefined : Number(before),
          state: args.state?.toLowerCase() as Delivery['state'] | undefined,
        })
        const items = found
          .slice(0, size)
          .map((node) => ({ cursor: encodeCursor(list, [String(node.position)]), node }))
        return connectionOf(items, found.length > size, args.after != null)
      },
    },
    WebhookDelivery: {
      state: ({ state }: Delivery) => state.toUpperCase(),
      nextAttemptAt: ({ state, dueAt }: Delivery) =>
        state === 'waiting' ? new Date(dueAt).toISOString() : null,
      attempts: ({ id }: Delivery) => outbound.attempts(id),
    },
  }
}

/** @throws BAD_USER_INPUT */
function check({ url, events, secret, retryPolicy }: RegisterWebhookInput): void {
  const address = URL.canParse(url) ? new URL(url) : null
  if (!address || !/^https?:$/.test(address.protocol) || address.username || address.password)
    throw badInput('"url" must be an http or https address without a password.', 'url')
  const isPattern = (text: string) => text === '*' || /^[a-z]+(\.[a-z]+)*(\.\*)?$/.test(text)
  if (events.length === 0 || !events.every(isPattern))
    throw badInput('"events" must name event types: "order.created", "order.*", or "*".', 'events')
  if (secret != null && secret.length < 24)
    throw badInput('"secret" must have 24 characters or more; leave it out to have one made.', 'secret')
  const { maxRetries = 0, retryDelay = 1_000, backoffMultiplier = 2 } = given(retryPolicy ?? {})
  if (
    maxRetries < 0 ||
    maxRetries > 20 ||
    retryDelay < 100 ||
    backoffMultiplier < 1 ||
    backoffMultiplier > 10
  )
    throw badInput(
      '"retryPolicy" must have 0 to 20 retries, 100 ms or more between them, and a factor of 1 to 10.',
      'retryPolicy',
    )
}
