/**
 * Carries the write-ahead log into the database, now and then and in a thread of its own: it waits for the disk twice.
 *
 * The log begins anew only when all of it was carried over, which never is while somebody writes. So it is done twice:
 * once beside everything else, and once more for what came meanwhile, while the next commit waits.
 */
import { once } from 'node:events'
import { DatabaseSync } from 'node:sqlite'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** Commits between two checkpoints. Each of them leaves some pages in the log. */
const COMMITS = 500

export interface Checkpoints {
  /** Counts a commit. */
  written(): void
  /** To be awaited before the next transaction begins. */
  beforeNext(): Promise<void>
  /** Answers when the thread has ended. */
  close(): Promise<void>
}

export function createCheckpoints(file: string): Checkpoints {
  let commits = 0
  let state: 'idle' | 'under way' | 'rest is left' = 'idle'
  let worker: Worker | undefined
  let finish = () => {}

  const start = (): Worker => {
    const made = new Worker(new URL(import.meta.url), { workerData: file, name: 'checkpoints' })
    made.unref()
    made.on('message', () => finish())
    // Without checkpoints the log only grows: the next one begins with a new thread.
    made.on('error', () => {})
    made.on('exit', () => {
      worker = undefined
      finish()
    })
    return made
  }
  const checkpoint = (): Promise<void> =>
    new Promise((resolve) => {
      finish = resolve
      // Most processes never get here: a thread takes memory and time to start.
      worker ??= start()
      worker.postMessage('checkpoint')
    })

  return {
    written() {
      commits++
      if (commits < COMMITS || state !== 'idle') return
      commits = 0
      state = 'under way'
      void checkpoint().then(() => {
        state = 'rest is left'
      })
    },
    async beforeNext() {
      if (state !== 'rest is left') return
      await checkpoint()
      state = 'idle'
    },
    async close() {
      if (!worker) return
      const ended = once(worker, 'exit')
      worker.ref()
      worker.postMessage('close')
      await ended
    },
  }
}

if (!isMainThread && typeof workerData === 'string') {
  const database = new DatabaseSync(workerData, { timeout: 10_000 })
  database.exec('pragma synchronous = normal')
  parentPort?.on('message', (message) => {
    if (message === 'close') {
      database.close()
      parentPort?.close()
      return
    }
    // Passive: as far as readers allow, never waiting for them.
    database.exec('pragma wal_checkpoint(passive)')
    parentPort?.postMessage('done')
  })
}
