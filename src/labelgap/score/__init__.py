"""Pools of 10⁷ to 10⁹ items: scored shard by shard, by any number of workers, merged exactly."""
