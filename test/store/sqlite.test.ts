import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type LogSync, openSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'

describe('the store in SQLite', () => {
  let folder: string
  let file: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'tributary-sqlite-'))
    file = join(folder, 'store.sqlite')
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const write = (store: Store, name: string, value = 'x') =>
    store.transact((tx) => tx.insertInto('meta').values({ name, value }).execute())
  const names = async (store: Store) =>
    (
      await store.read.selectFrom('meta').select('name').where('name', 'like', 't%').orderBy('name').execute()
    ).map(({ name }) => name)

  it('shows and answers nothing that is not on the disk yet', async () => {
    const disk = new SlowDisk()
    const store = await openSqliteStore(file, disk)
    await write(store, 't1')
    const asked = disk.stop()
    let answered = false
    const second = write(store, 't2').then(() => {
      answered = true
    })
    await asked
    expect(await names(store)).toEqual(['t1'])
    expect(answered).toBe(false)
    disk.goOn()
    await second
    expect(await names(store)).toEqual(['t1', 't2'])
    await store.close()
  })

  it('refuses everything once the disk has failed it', async () => {
    const disk = new SlowDisk()
    const store = await openSqliteStore(file, disk)
    disk.broken = true
    await expect(write(store, 't1')).rejects.toThrow('EIO')
    disk.broken = false
    await expect(write(store, 't2')).rejects.toThrow(
      'the disk did not keep what was written: restart the gateway',
    )
    await store.close()
  })

  it('finds the log at its beginning again, again and again, while it is written and read', async () => {
    const store = await openSqliteStore(file, new SlowDisk())
    const logBytes = () => statSync(`${file}-wal`).size
    let commits = 0
    let largest = 0
    let sameFor = 0
    while (sameFor < 1_000) {
      await write(store, `t${commits}`, 'x'.repeat(3_000))
      await store.read.selectFrom('meta').select('name').limit(1).execute()
      commits++
      sameFor = logBytes() > largest ? 0 : sameFor + 1
      largest = Math.max(largest, logBytes())
      expect(commits).toBeLessThan(20_000)
    }
    await store.close()
    const again = await openSqliteStore(file)
    expect(await names(again)).toHaveLength(commits)
    await again.close()
  })
})

/** Keeps nothing: enough for what does not lose its power. */
class SlowDisk implements LogSync {
  broken = false
  #held: Promise<void> | undefined
  #asked = () => {}
  goOn = () => {}

  /** From here on nothing is done until `goOn`. Answers when somebody waits. */
  stop(): Promise<void> {
    this.#held = new Promise((resolve) => {
      this.goOn = resolve
    })
    return new Promise((resolve) => {
      this.#asked = resolve
    })
  }

  async sync() {
    if (this.broken) throw new Error('EIO')
    this.#asked()
    await this.#held
  }

  async close() {}
}
