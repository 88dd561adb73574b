/** Names of processes in leases, `PLACE/PID/…`, and whether one of this machine is gone. */
import { readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'

/** Where a process number means something: the machine since its start, and the container. */
export function placeOf(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim().slice(0, 8)
    const container = /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? ''
    return `${hostname()}:${boot}:${container}`
  } catch {
    return hostname()
  }
}

/** A process of this machine that is gone need not be waited for. */
export function isDeadHere(owner: string): boolean {
  const [place, pid] = owner.split('/')
  if (place !== placeOf()) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
