/** Closing a door without shutting it in anybody's face. */
import type { FastifyInstance } from 'fastify'

/** As long as a query that is not stuck takes; whoever ends the process waits longer than this. */
const DRAIN_MS = 5_000
const LOOK_MS = 20

/** Takes no new connections, and lets what is under way be answered, for so long at most. */
export async function drain(server: FastifyInstance, withinMs = DRAIN_MS): Promise<void> {
  const { server: http } = server
  // One that has its answer would be kept open for the next request.
  const idle = setInterval(() => http.closeIdleConnections(), LOOK_MS)
  const cut = setTimeout(() => http.closeAllConnections(), withinMs)
  try {
    await server.close()
  } finally {
    clearInterval(idle)
    clearTimeout(cut)
  }
}
