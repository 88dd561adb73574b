/** What the steps of flows read with: always as of now, under the gateway's own credentials. */
import { SERVICE_SCOPE } from '../caller/caller.ts'
import type { IdentityRegistry } from '../identity/registry.ts'
import type { Read, Reading } from '../reading/reading.ts'
import { publicMessage, type SourceFailure } from '../systems/failure.ts'
import type { System, Systems } from '../systems/registry.ts'
import { problemOf } from '../writeback/worker.ts'
import { FlowReject, type FlowTools, FlowWait, reject } from './flow.ts'

export function createFlowTools(systems: Systems, reading: Reading, identity: IdentityRegistry): FlowTools {
  const systemOf = (id: string): System => {
    const system = systems.get(id)
    if (!system) throw reject('UNKNOWN_SYSTEM', `The configuration has no system "${id}".`)
    return system
  }
  const fresh = <T>(system: System, read: Read<T>): T => {
    if (!read.ok) throw failed(system, read.failure)
    // What a system said before it went away is no ground for writing.
    if (read.from.stale) throw new FlowWait(`Waits for system "${system.id}", which does not answer.`)
    return read.value
  }
  const now = () => ({ credentialScope: SERVICE_SCOPE, since: Date.now() })

  return {
    async record(id, type, key) {
      const system = systemOf(id)
      return fresh(system, await reading.record(system, type, key, now()))
    },

    async lookup(id, type, by, key) {
      const system = systemOf(id)
      const asked = reading.lookup(system, type, by, key, now())
      if (!asked) throw reject('UNSUPPORTED', `System "${id}" cannot find ${type} records ${by}.`)
      return fresh(system, await asked)
    },

    async counterparts(type, of, system) {
      const [found] = await identity.byKeys(type, [of])
      return found?.keys.filter((one) => one.system === system).map((one) => one.key) ?? []
    },
  }
}

function failed(system: System, failure: SourceFailure): Error {
  // Asking again may help, or an operator must act: either way the run is not to blame.
  if (failure.kind === 'unavailable' || failure.kind === 'unauthorized')
    return new FlowWait(publicMessage(failure, system.id))
  return new FlowReject(problemOf(failure, system.id))
}
