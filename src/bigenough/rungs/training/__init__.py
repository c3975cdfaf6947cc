# SPDX-License-Identifier: Apache-2.0
"""How an encoder is trained: whole or through LoRA, within a time, and again after a kill.

It decides the order of rows, the learning rate at each step, and what gives way when time or memory is short. It
refuses to decide which recipe is best: that is for the select rows. torch is imported only where it is used.
"""
