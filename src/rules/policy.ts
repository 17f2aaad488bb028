import type { AddressRange } from '../api/address.ts'
import { type ReservedPort, reservedPorts } from '../istio/ports.ts'
import type { Pool } from '../vip/pool.ts'
import { createPool } from '../vip/pools.ts'
import type { Action } from './finding.ts'
import { rules } from './index.ts'

/** What is done for a rule's findings: on virtual hosts and their VirtualServices, and on all others. */
export type RuleActions = { virtualHost: Action; other: Action }

/** What is done in a dry run for what would be denied. */
export type DryRunPolicy = {
  /** Another object is not there; it may be applied first. */
  missing: 'warn' | 'deny'
  /** Another object contradicts; it may be changed as well. */
  mismatch: 'warn' | 'deny'
  /** Who applies batches, and dry-runs all of one before any of it exists: for these a mismatch is a warning. */
  batchFieldManagers: ReadonlySet<string>
}

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
  readonly dryRun: DryRunPolicy
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
  dryRun: {
    missing: 'warn',
    mismatch: 'deny',
    batchFieldManagers: new Set(['kustomize-controller', 'helm-controller', 'argocd-controller']),
  },
  actions: new Map(rules.map(({ id, defaults }) => [id, defaults])),
  docsURL: 'https://meshvip.dev/rules',
} satisfies Policy)
