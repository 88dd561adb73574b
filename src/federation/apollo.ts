/** The engine as Apollo Server sees a gateway. Apollo Server parses and validates; all else is the engine's. */
import type { GatewayInterface } from '@apollo/server-gateway-interface'
import type { Engine } from './engine.ts'

/**
 * Give it to `new ApolloServer({ gateway, stringifyResult: stringifyAnswer })`. Subscriptions do not come this way: Apollo Server has no stream to
 * put them on, so the transports that have one call `engine.subscribe` themselves.
 * @param signalOf Finds the request's abort signal in the host's context.
 * @param options `asText` where the host has `stringifyAnswer` as its `stringifyResult`, and nothing looks into data.
 */
export function apolloGateway<TContext>(
  engine: Engine<TContext>,
  signalOf?: (context: TContext) => AbortSignal | undefined,
  options: { readonly asText?: boolean } = {},
): GatewayInterface {
  return {
    async load() {
      return {
        executor: ({ document, request, context }) =>
          engine.execute({
            document,
            operationName: request.operationName,
            variables: request.variables,
            // Apollo Server does not know the host's context type.
            context: context as TContext,
            signal: signalOf?.(context as TContext),
            asText: options.asText ?? false,
          }),
      }
    },
    onSchemaLoadOrUpdate(callback) {
      const tell = (): void => callback({ apiSchema: engine.schema, coreSupergraphSdl: engine.supergraphSdl })
      tell()
      return engine.onReload(tell)
    },
    // The host made the engine and may serve other transports with it: closing it is the host's.
    async stop() {},
  }
}
