/** What is kept of the calls to systems. */
import { z } from 'zod'
import { duration } from '../config/duration.ts'

export const callsSchema = z
  .strictObject({
    writes: z
      .boolean()
      .default(true)
      .describe('Every exchange that may change something, and every look after it'),
    failures: z.boolean().default(true).describe('Every exchange without a good answer'),
    reads: z
      .number()
      .min(0)
      .max(1)
      .default(0)
      .describe('Share of the other reads: 1 keeps all, 0.01 every hundredth'),
    keep: duration.prefault('720h').describe('How long'),
    maxCalls: z.int().min(100).default(1_000_000).describe('How many at most; the oldest go first'),
    bodyChars: z.int().min(0).max(100_000).default(4_000).describe('So much of each body; 0: none'),
    mask: z
      .array(z.string().regex(/^[\p{L}\p{N}_.-]{1,40}$/u, 'is the name of a field, such as phone'))
      .default([])
      .describe('Fields whose values are taken out besides credentials, in whatever spelling'),
  })
  .prefault({})
  .describe('The log of calls to systems, for operators')
