/** The page at `/`: Altair, served from the installed package; nothing is fetched from anywhere else. */
import { readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { getDistDirectory, renderAltair } from 'altair-static'
import type { FastifyInstance } from 'fastify'

export interface Example {
  readonly title: string
  readonly query: string
  readonly variables?: Readonly<Record<string, unknown>>
}

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.ttf': 'font/ttf',
  '.map': 'application/json',
}

/** Scripts, styles and connections from here only; Altair compiles its plugins' templates, hence `unsafe-eval`. */
const POLICY =
  "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; " +
  "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; connect-src 'self' ws: wss:"

export function serveExplorer(server: FastifyInstance, examples: readonly Example[]): void {
  const root = getDistDirectory()

  server.get('/', async (request, reply) => {
    const origin = `${request.protocol}://${request.host}`
    const endpointURL = `${origin}/graphql`
    const subscriptionsEndpoint = `${origin.replace(/^http/, 'ws')}/graphql`
    const windowOf = ({ title, query, variables }: Example) => ({
      initialName: title,
      initialQuery: query,
      initialVariables: JSON.stringify(variables ?? {}, null, 2),
      endpointURL,
      subscriptionsEndpoint,
      initialSubscriptionRequestHandlerId: 'graphql-ws' as const,
    })
    const html = renderAltair({
      baseURL: '/explorer/',
      endpointURL,
      subscriptionsEndpoint,
      initialSubscriptionRequestHandlerId: 'graphql-ws',
      initialWindows: examples.map(windowOf),
      initialSettings: { 'banners.disable': true } as never,
    })
    return reply.type('text/html; charset=utf-8').header('content-security-policy', POLICY).send(html)
  })

  server.get('/explorer/*', async (request, reply) => {
    const path = decodeURIComponent((request.params as { '*': string })['*'])
    const file = join(root, path)
    if (!file.startsWith(root)) return reply.callNotFound()
    const content = await readFile(file).catch(() => null)
    if (!content) return reply.callNotFound()
    return reply
      .type(TYPES[extname(file)] ?? 'application/octet-stream')
      .header('cache-control', 'public, max-age=3600')
      .send(content)
  })
}
