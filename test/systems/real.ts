/** Real systems under the contract: those of a configuration file, with keys that it names or that their lists tell. */
import { readFileSync } from 'node:fs'
import { describe } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { gatewayCaller } from '../../src/caller/caller.ts'
import { checkConfig } from '../../src/config/load.ts'
import { kinds } from '../../src/systems/kinds.ts'
import { RECORD_TYPES, type RecordType } from '../../src/systems/records.ts'
import { conduct, openSystem, type System } from './contract.ts'
import { secretsIn } from './secrets.ts'
import type { SampleKeys, Samples } from './subject.ts'

const key = z.string().min(1)
const contractPart = z.record(
  z.string(),
  z.partialRecord(
    z.enum(RECORD_TYPES),
    z.strictObject({ there: z.tuple([key, key], key), missing: key.default('no-such-record') }),
  ),
)

export async function describeRealSystems(file: string): Promise<void> {
  const { contract = {}, ...raw } = parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  const named = contractPart.parse(contract)
  const { systems } = await checkConfig(raw, process.env, file)
  for (const [id, { kind, settings, timeout }] of Object.entries(systems)) {
    const schema = await kinds[kind]?.config()
    const secrets = schema ? secretsIn(schema, settings) : []
    const system = { kind, config: settings, timeoutMs: timeout, samples: {}, secrets }
    const samples = await sampleKeys(system, named[id] ?? {})
    describe(id, () => {
      conduct(Object.keys(samples) as RecordType[], () => openSystem({ ...system, samples }))
    })
  }
}

/** Of record types that the file does not name: the first two that the system lists. */
async function sampleKeys(system: System, named: SampleKeys): Promise<SampleKeys> {
  await using it = await openSystem(system)
  const found: { [T in RecordType]?: Samples } = {}
  for (const type of RECORD_TYPES) {
    const port = it.adapter.ports[type]
    const page = named[type] ? undefined : await port?.list?.({ first: 2 }, { caller: gatewayCaller })
    const [one, other] = page?.ok ? page.value.items.map(({ record }) => record.key) : []
    if (one !== undefined && other !== undefined)
      found[type] = { there: [one, other], missing: 'no-such-record' }
    else if (port && !named[type])
      process.stderr.write(`${system.kind}: no sample keys for ${type}; name them.\n`)
  }
  return { ...found, ...named }
}
