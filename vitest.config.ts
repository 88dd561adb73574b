import { configDefaults, defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** They put modules of ours under spies, or measure the memory of their process. */
const ALONE = ['test/reading/interleavings.test.ts', 'test/reading/memory.test.ts']

/** What takes longest: they start processes, or go through all kinds of system. */
const SLOW = [
  'test/systems/contract',
  'test/flows/crash',
  'test/writeback/campaign',
  'test/events/faults',
  'test/e2e/crash',
  'test/events/brokers',
  'test/config/commands',
  'test/readme/readme',
  'test/e2e/everything',
  'test/systems/http-own-crash',
]
const isSlow = ({ moduleId }: TestSpecification) => SLOW.some((file) => moduleId.endsWith(`${file}.test.ts`))

/**
 * In a fresh clone nobody knows how long files took, and the largest come first. The slowest ones are small: the last
 * of them would run alone.
 */
class SlowOnesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return [...sorted.filter(isSlow), ...sorted.filter((file) => !isSlow(file))]
  }
}

export default defineConfig({
  // Node resolves "graphql" to its CommonJS build, which Apollo's packages share. Vite would choose the ES build
  // beside it, and two copies of graphql refuse each other's types.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    globalSetup: 'test/store/databases.ts',
    sequence: { sequencer: SlowOnesFirst },
    // Most of the time is waiting for other processes; one worker, the choice for two cores, leaves one idle.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    projects: [
      // To load everything and warm up takes seconds, which a process of its own for each file would pay again.
      {
        extends: true,
        test: {
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...ALONE],
          isolate: false,
        },
      },
      { extends: true, test: { name: 'alone', include: ALONE } },
    ],
  },
})
