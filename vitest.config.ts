import { defineConfig } from 'vitest/config'

export default defineConfig({
  // Node resolves "graphql" to its CommonJS build, which Apollo's packages share. Vite would choose the ES build
  // beside it, and two copies of graphql refuse each other's types.
  resolve: { alias: [{ find: /^graphql$/, replacement: 'graphql/index.js' }] },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/store/databases.ts',
    // Most of the time is waiting for other processes; one worker, the choice for two cores, leaves one idle.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
  },
})
