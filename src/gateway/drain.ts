/** Closing a door without shutting it in anybody's face. */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'

/** As long as a query that is not stuck takes; whoever ends the process waits longer than this. */
const DRAIN_MS = 5_000
const LOOK_MS = 20

/**
 * To be called before it listens; with `return503OnClosing: false`, as what was sent before the client knew is answered.
 * @returns Takes no new connections, and lets what is under way be answered, for so long at most.
 */
export function drainOf(server: FastifyInstance): (withinMs?: number) => Promise<void> {
  const { server: http } = server
  const underWay = new Set<ServerResponse>()
  http.on('request', (_request, response) => {
    underWay.add(response)
    response.once('close', () => underWay.delete(response))
  })
  return async (withinMs = DRAIN_MS) => {
    // The client is told that the connection ends, and does not ask on it again in the moment in which it does.
    for (const response of underWay) response.shouldKeepAlive = false
    // Of others the answer has begun: they are kept open for the next request.
    const idle = setInterval(() => http.closeIdleConnections(), LOOK_MS)
    const cut = setTimeout(() => http.closeAllConnections(), withinMs)
    try {
      await server.close()
    } finally {
      clearInterval(idle)
      clearTimeout(cut)
    }
  }
}
