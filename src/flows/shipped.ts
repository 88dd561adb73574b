/** The flows of a configuration: those that come with the gateway, and those in files of its own. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { FlowsConfig } from './config.ts'
import type { Flow } from './flow.ts'
import { leadToCash } from './lead-to-cash.ts'
import { paymentReceived } from './payment-received.ts'

/** @throws where a file brings no flow. */
export async function flowsOf(config: FlowsConfig): Promise<Flow[]> {
  const own = await Promise.all(
    config.modules.map(async (file) => {
      const loaded: unknown = await import(pathToFileURL(resolve(file)).href)
      const brought = [(loaded as { default?: Flow | readonly Flow[] }).default].flat()
      for (const flow of brought) {
        if (typeof flow?.name === 'string' && Array.isArray(flow.stages)) continue
        throw new Error(`${file}: its default export is no flow; see src/flows/README.md`)
      }
      return brought as Flow[]
    }),
  )
  return [
    ...(config.leadToCash ? [leadToCash(config.leadToCash)] : []),
    ...(config.paymentReceived ? [paymentReceived(config.paymentReceived)] : []),
    ...own.flat(),
  ]
}
