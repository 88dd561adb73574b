import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { codesOf, idOf, openTestGateway, READER, type TestGateway, temporaryFolder } from './kit.ts'

const WALK_IN = idOf('customer', 'erp', 'C99001')
const PROSPECT = idOf('customer', 'crm', '70035')
const LINK = `mutation Link($input: LinkExternalIdInput!) { linkExternalId(input: $input) {
  id externalIds { system key } } }`
const IMPORT =
  'mutation Import($csv: String!) { importExternalIds(input: { csv: $csv }) { linked unchanged } }'
const HEADER = 'type,system,company,key,sameAsSystem,sameAsKey'

const customer = async (gateway: TestGateway, id: string) =>
  (
    await gateway.data(
      'query C($id: ID!) { customer(id: $id) { id name level externalIds { system key } orders { number } } }',
      { id },
    )
  ).customer
const unmapped = async (gateway: TestGateway) =>
  (
    await gateway.data('{ unmappedRecords(type: CUSTOMER) { nodes { system { id } key } } }')
  ).unmappedRecords.nodes.map(
    ({ system, key }: { system: { id: string }; key: string }) => `${system.id} ${key}`,
  )

/** The prospect of the CRM turns out to be who bought without a name. */
const together = {
  id: PROSPECT,
  name: '深圳云帆科技有限公司',
  level: 'BASIC',
  externalIds: [
    { system: 'crm', key: '70035' },
    { system: 'erp', key: 'C99001' },
  ],
  orders: [{ number: '1024' }],
}

describe('linking a record that stood alone', () => {
  it('by hand joins it with its customer; both ids lead there from then on', async () => {
    await using gateway = await openTestGateway()
    expect(await customer(gateway, WALK_IN)).toMatchObject({ id: WALK_IN, level: null })
    expect(await unmapped(gateway)).toEqual(['crm 70035', 'erp C99001'])
    const { linkExternalId } = await gateway.data(LINK, {
      input: { type: 'CUSTOMER', id: PROSPECT, system: 'erp', key: 'C99001' },
    })
    expect(linkExternalId).toEqual({ id: PROSPECT, externalIds: together.externalIds })
    expect(await customer(gateway, PROSPECT)).toEqual(together)
    expect(await customer(gateway, WALK_IN)).toEqual(together)
    expect(await unmapped(gateway)).toEqual([])
    const { orderByNumber } = await gateway.data(
      '{ orderByNumber(system: "erp", number: "1024") { customer { id level } } }',
    )
    expect(orderByNumber.customer).toEqual({ id: PROSPECT, level: 'BASIC' })
  })

  it('is taken back where it was a mistake, by a steward only', async () => {
    await using gateway = await openTestGateway()
    const UNLINK = `mutation Unlink($input: UnlinkExternalIdInput!) { unlinkExternalId(input: $input) {
      id externalIds { system key } rest { id externalIds { system key } } } }`
    await gateway.data(LINK, { input: { type: 'CUSTOMER', id: PROSPECT, system: 'erp', key: 'C99001' } })
    const input = { type: 'CUSTOMER', system: 'erp', key: 'C99001' }
    expect(codesOf(await gateway.ask(UNLINK, { input }, READER))).toEqual(['FORBIDDEN'])
    expect((await gateway.data(UNLINK, { input })).unlinkExternalId).toEqual({
      id: WALK_IN,
      externalIds: [{ system: 'erp', key: 'C99001' }],
      rest: { id: PROSPECT, externalIds: [{ system: 'crm', key: '70035' }] },
    })
    expect(await customer(gateway, WALK_IN)).toMatchObject({ id: WALK_IN, orders: [{ number: '1024' }] })
    expect(await customer(gateway, PROSPECT)).toMatchObject({ id: PROSPECT, orders: [] })
    expect(codesOf(await gateway.ask(UNLINK, { input }))).toEqual(['BAD_USER_INPUT'])
  })

  it('by CSV does the same, says what was true already, and applies all lines or none', async () => {
    await using gateway = await openTestGateway()
    const half = `${HEADER}\ncustomer,erp,,C99001,crm,70035\ncustomer,sap,,1,crm,70035`
    expect(codesOf(await gateway.ask(IMPORT, { csv: half }))).toEqual(['BAD_USER_INPUT'])
    expect(await unmapped(gateway)).toEqual(['crm 70035', 'erp C99001'])

    const whole = `${HEADER}\ncustomer,erp,,C99001,crm,70035\ncustomer,fin,,D-00003,crm,70007`
    expect(await gateway.data(IMPORT, { csv: whole })).toEqual({
      importExternalIds: { linked: 1, unchanged: 1 },
    })
    expect(await gateway.data(IMPORT, { csv: whole })).toEqual({
      importExternalIds: { linked: 0, unchanged: 2 },
    })
    expect(await customer(gateway, WALK_IN)).toEqual(together)
  })

  it('by the configuration does it at the start, and leaves the other systems to their match fields', async () => {
    const folder = temporaryFolder()
    const file = join(folder, 'links.csv')
    writeFileSync(file, `${HEADER}\ncustomer,erp,,C99001,crm,70035\ncustomer,erp,,C20001,fin,D-00003\n`)
    await using gateway = await openTestGateway({
      override: (raw) => Object.assign(raw, { identity: { import: [file] } }),
    })
    rmSync(folder, { recursive: true })
    expect(await customer(gateway, PROSPECT)).toEqual(together)
    const { externalIds } = await customer(gateway, idOf('customer', 'crm', '70007'))
    expect(
      externalIds.map(({ system, key }: { system: string; key: string }) => `${system} ${key}`).toSorted(),
    ).toEqual(['crm 70007', 'erp C20001', 'fin D-00003'])
  })

  it('outlives a restart', async () => {
    const dataDir = temporaryFolder()
    {
      await using first = await openTestGateway({ dataDir })
      await first.data(LINK, { input: { type: 'CUSTOMER', id: PROSPECT, system: 'erp', key: 'C99001' } })
    }
    await using second = await openTestGateway({ dataDir })
    expect(await customer(second, WALK_IN)).toEqual(together)
  })

  it('needs the role of a steward, and a system that there is', async () => {
    await using gateway = await openTestGateway()
    const input = { type: 'CUSTOMER', id: PROSPECT, system: 'erp', key: 'C99001' }
    expect(codesOf(await gateway.ask(LINK, { input }, READER))).toEqual(['FORBIDDEN'])
    expect(codesOf(await gateway.ask(IMPORT, { csv: HEADER }, READER))).toEqual(['FORBIDDEN'])
    expect(codesOf(await gateway.ask(LINK, { input: { ...input, system: 'sap' } }))).toEqual([
      'UNKNOWN_SYSTEM',
    ])
    expect(codesOf(await gateway.ask(LINK, { input: { ...input, id: idOf('order', 'erp', '1') } }))).toEqual([
      'BAD_USER_INPUT',
    ])
    expect(await unmapped(gateway)).toEqual(['crm 70035', 'erp C99001'])
  })
})

describe('records that could be two customers', () => {
  it('are left to a person: readable, listed with the reason, and linked by hand', async () => {
    const dataDir = temporaryFolder()
    {
      // A restart keeps what the simulated systems were told.
      await using before = await openTestGateway({ dataDir })
      const known = before.demo.world.get('crmCustomers', '70021')
      if (!known) throw new Error('no customer 70021')
      before.demo.world.put('crmCustomers', { ...known, id: '79999', name: 'Pacific Rim (double)' })
    }
    rmSync(join(dataDir, 'tributary.sqlite'))
    await using gateway = await openTestGateway({ dataDir })
    const { unmappedRecords } = await gateway.data(
      '{ unmappedRecords(type: CUSTOMER, system: "erp") { nodes { key reason } } }',
    )
    expect(unmappedRecords.nodes).toEqual([
      {
        key: 'C20003',
        reason: expect.stringMatching(
          /^taxNumber is shared with crm (70021, crm 79999|79999, crm 70021): link it by hand$/,
        ),
      },
      { key: 'C99001', reason: 'no record of another system has the same match value' },
    ])
    const erp = idOf('customer', 'erp', 'C20003')
    expect(await customer(gateway, erp)).toMatchObject({ id: erp, name: 'Pacific Rim Trading, Inc.' })
    await gateway.data(LINK, {
      input: { type: 'CUSTOMER', id: idOf('customer', 'crm', '79999'), system: 'erp', key: 'C20003' },
    })
    expect(await customer(gateway, erp)).toMatchObject({
      name: 'Pacific Rim (double)',
      orders: [{ number: '1018' }],
    })
  })
})
