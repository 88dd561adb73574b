/** `compose`: the supergraph from what the built-in subgraphs say of themselves. */
import { readFileSync, writeFileSync } from 'node:fs'
import { composeServices } from '@apollo/composition'
import { builtInServices, supergraphFile } from '../../subgraphs/index.ts'
import type { Flags } from './flags.ts'

export async function compose(flags: Flags): Promise<void> {
  const composed = composeServices(builtInServices())
  if (!composed.supergraphSdl) {
    for (const error of composed.errors ?? []) process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
    return
  }
  const text = `${composed.supergraphSdl.trimEnd()}\n`
  if (!flags.check) {
    writeFileSync(supergraphFile, text)
    return
  }
  if (text === readFileSync(supergraphFile, 'utf8')) return
  process.stderr.write(
    'schema/supergraph.graphql is not what the subgraphs compose to. Run: npm run compose\n',
  )
  process.exitCode = 1
}
