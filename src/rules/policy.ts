import { type ReservedPort, reservedPorts } from '../istio/ports.ts'
import type { Action } from './finding.ts'
import { rules } from './index.ts'
import type { AddressRange } from '../api/address.ts'
import type { Pool } from '../vip/pool.ts'
import { createPool } from '../vip/pools.ts'

/** What is done for a rule's findings: on virtual hosts and their VirtualServices, and on all others. */
export type RuleActions = { virtualHost: Action; other: Action }

/** The configuration as the rules read it: compiled once, never changed. */
export type Policy = {
  readonly clusterDomain: string
  /** `labelled`: only Services with label meshvip.dev/virtual-host: "true" are virtual hosts. */
  readonly virtualHosts: 'inferred' | 'labelled'
  /** One at least. */
  readonly pools: readonly Pool[]
  readonly allowedExternalIPs: readonly AddressRange[]
  readonly reservedPorts: ReadonlyMap<number, ReservedPort>
  /** By rule id; every rule has an entry. */
  readonly actions: ReadonlyMap<string, RuleActions>
  /** Where the rules' pages are; a finding links to `<docsURL>/<rule>`. */
  readonly docsURL: string
}

/** Fits the runbook as it is: its own pair of objects goes through untouched but for the address. */
export const defaultPolicy: Policy = Object.freeze({
  clusterDomain: 'cluster.local',
  virtualHosts: 'inferred',
  pools: [createPool('240.240.0.0/16')],
  allowedExternalIPs: [],
  reservedPorts,
  actions: new Map(rules.map(({ id, defaults }) => [id, defaults])),
  docsURL: 'https://meshvip.dev/rules',
} satisfies Policy)
