#!/bin/bash
# Pretraining on two hosts of eight GPUs each: sbatch slurm.sh
# Written from the manuals of SLURM and torchrun; it has not been run under SLURM.
#SBATCH --job-name=spice
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --signal=TERM@60
set -euo pipefail
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK         # since 22.05 srun does not take it from sbatch
export OMP_NUM_THREADS=$((SLURM_CPUS_PER_TASK / 8))    # of each process; torchrun would say 1
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# export GLOO_SOCKET_IFNAME=ib0 NCCL_SOCKET_IFNAME=ib0   # where the hosts have several networks
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun torchrun \
  --nnodes="$SLURM_NNODES" --nproc-per-node=8 --max-restarts=3 \
  --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="$first:29500" \
  -m spice_cli pretrain /shared/images --run /shared/runs/images --set batch_size=4096
