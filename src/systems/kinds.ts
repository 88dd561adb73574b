/** Every sort of system that can be configured. Adding one is adding a folder and a line here. */
import type { z } from 'zod'
import type { CreateAdapter } from './port.ts'

/** Loaded when it is used: a process does not pay for the kinds that its configuration does not name. */
export interface Kind {
  /** Checks the settings that belong to this kind alone. */
  config(): Promise<z.ZodType>
  adapter(): Promise<CreateAdapter<never>>
  /** The setting that says how many calls it can have under way: more writes at once would only wait inside. */
  readonly callsSetting?: string
}

export const kinds: Readonly<Record<string, Kind>> = {
  'sap-b1': {
    config: async () => (await import('./sap-b1/config.ts')).sapB1Config,
    adapter: async () => (await import('./sap-b1/adapter.ts')).createSapB1,
    callsSetting: 'maxSessions',
  },
  'sap-s4': {
    config: async () => (await import('./sap-s4/config.ts')).sapS4Config,
    adapter: async () => (await import('./sap-s4/adapter.ts')).createSapS4,
  },
  'kingdee-k3': {
    config: async () => (await import('./kingdee-k3/config.ts')).kingdeeK3Config,
    adapter: async () => (await import('./kingdee-k3/adapter.ts')).createKingdeeK3,
  },
  'yonyou-u8': {
    config: async () => (await import('./yonyou-u8/config.ts')).yonyouU8Config,
    adapter: async () => (await import('./yonyou-u8/adapter.ts')).createYonyouU8,
  },
  'yonyou-nc': {
    config: async () => (await import('./yonyou-nc/config.ts')).yonyouNcConfig,
    adapter: async () => (await import('./yonyou-nc/adapter.ts')).createYonyouNc,
  },
  salesforce: {
    config: async () => (await import('./salesforce/config.ts')).salesforceConfig,
    adapter: async () => (await import('./salesforce/adapter.ts')).createSalesforce,
  },
  'rest-crm': {
    config: async () => (await import('./rest-crm/config.ts')).restCrmConfig,
    adapter: async () => (await import('./rest-crm/adapter.ts')).createRestCrm,
  },
  'rest-erp': {
    config: async () => (await import('./rest-erp/config.ts')).restErpConfig,
    adapter: async () => (await import('./rest-erp/adapter.ts')).createRestErp,
  },
  'rest-wms': {
    config: async () => (await import('./rest-wms/config.ts')).restWmsConfig,
    adapter: async () => (await import('./rest-wms/adapter.ts')).createRestWms,
  },
  kuaidi100: {
    config: async () => (await import('./kuaidi100/config.ts')).kuaidi100Config,
    adapter: async () => (await import('./kuaidi100/adapter.ts')).createKuaidi100,
  },
  'rest-finance': {
    config: async () => (await import('./rest-finance/config.ts')).restFinanceConfig,
    adapter: async () => (await import('./rest-finance/adapter.ts')).createRestFinance,
  },
  'rest-tms': {
    config: async () => (await import('./rest-tms/config.ts')).restTmsConfig,
    adapter: async () => (await import('./rest-tms/adapter.ts')).createRestTms,
  },
  'soap-finance': {
    config: async () => (await import('./soap-finance/config.ts')).soapFinanceConfig,
    adapter: async () => (await import('./soap-finance/adapter.ts')).createSoapFinance,
  },
  wangdiantong: {
    config: async () => (await import('./wangdiantong/config.ts')).wangdiantongConfig,
    adapter: async () => (await import('./wangdiantong/adapter.ts')).createWangdiantong,
  },
  jushuitan: {
    config: async () => (await import('./jushuitan/config.ts')).jushuitanConfig,
    adapter: async () => (await import('./jushuitan/adapter.ts')).createJushuitan,
  },
  http: {
    config: async () => (await import('./http/config.ts')).httpConfig,
    adapter: async () => (await import('./http/adapter.ts')).createHttpSystem,
  },
}
